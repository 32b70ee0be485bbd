/* Draws a game's window at another size than the game believes. Loaded before the game (LD_PRELOAD).

   The game lays its picture out for the window that it opens; all that it draws there goes into a framebuffer of
   WINDOW_DRAWN (like 1920x1080) instead, with viewport, scissors, lines and points scaled. So a game that lays
   its text out in pixels shows the same layout at every size. A line is at least as wide as
   a pixel of a picture of 480 columns. WINDOW_SAMPLES: multisampling.
   WINDOW_TEXTURES: "nearest" or "flat" (without mip levels) in place of what the game chooses. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VIEWPORT = 0x0BA2, SCISSOR_BOX = 0x0C10, FRONT_LEFT = 0x0400, BACK_LEFT = 0x0402, AUX0 = 0x0409, COLOR0 = 0x8CE0,
    FRAMEBUFFER = 0x8D40, READ = 0x8CA8, DRAW = 0x8CA9, RENDERBUFFER = 0x8D41, DRAW_BINDING = 0x8CA6, READ_BINDING = 0x8CAA,
    RGBA8 = 0x8058, DEPTH24_STENCIL8 = 0x88F0, DEPTH_STENCIL = 0x821A, MAG = 0x2800, MIN = 0x2801, NEAREST = 0x2600,
    LINEAR = 0x2601, NEAREST_NEAREST = 0x2700, LINEAR_LINEAR = 0x2703
};

typedef void (*function)(void);

static const float columns = 480;

static int laid[2], drawn[2], canvas[2] = {16, 9}, samples, ready, textures;
static unsigned ours, resolved;
static int draws_ours = 1, reads_ours = 1, seen_viewport[4], seen_scissor[4];

static function find_next(const char *name)
{
    static void *library;
    function found = (function)dlsym(RTLD_NEXT, name);
    if (found)
        return found;
    if (!library)
        library = dlopen("libGL.so.1", RTLD_NOW | RTLD_GLOBAL);
    found = (function)dlsym(library, name);
    if (!found) {
        function (*by_name)(const char *) = (function(*)(const char *))dlsym(library, "glXGetProcAddressARB");
        found = by_name(name);
    }
    return found;
}

#define CALL(result, name, types, ...) \
    ({ static result(*next) types; \
       if (!next) next = (result(*) types)find_next(#name); \
       next(__VA_ARGS__); })

static int is_on(void)
{
    static int known = -1;
    if (known < 0) {
        const char *target = getenv("WINDOW_DRAWN");
        known = target && sscanf(target, "%dx%d", drawn, drawn + 1) == 2;
        samples = getenv("WINDOW_SAMPLES") ? atoi(getenv("WINDOW_SAMPLES")) : 0;
        const char *how = getenv("WINDOW_TEXTURES");
        textures = !how ? 0 : !strcmp(how, "nearest") ? 1 : !strcmp(how, "flat") ? 2 : 0;
    }
    return known;
}

static float scale_width(float width)
{
    float least = width * columns / laid[0];
    return (least < 1 ? 1 : least) * drawn[0] / columns;
}

static unsigned make_framebuffer(int multisampled)
{
    unsigned made, buffers[2];
    CALL(void, glGenFramebuffers, (int, unsigned *), 1, &made);
    CALL(void, glGenRenderbuffers, (int, unsigned *), 2, buffers);
    CALL(void, glBindFramebuffer, (unsigned, unsigned), FRAMEBUFFER, made);
    for (int i = 0; i < 2; i++) {
        CALL(void, glBindRenderbuffer, (unsigned, unsigned), RENDERBUFFER, buffers[i]);
        CALL(void, glRenderbufferStorageMultisample, (unsigned, int, unsigned, int, int), RENDERBUFFER, multisampled,
             i ? DEPTH24_STENCIL8 : RGBA8, drawn[0], drawn[1]);
        CALL(void, glFramebufferRenderbuffer, (unsigned, unsigned, unsigned, unsigned), FRAMEBUFFER,
             i ? DEPTH_STENCIL : COLOR0, RENDERBUFFER, buffers[i]);
    }
    CALL(void, glBindRenderbuffer, (unsigned, unsigned), RENDERBUFFER, 0);
    return made;
}

static int find_layout(void)
{
    enum { WIDTH = 0x801D, HEIGHT = 0x801E };
    void *display = CALL(void *, glXGetCurrentDisplay, (void), );
    unsigned long window = CALL(unsigned long, glXGetCurrentDrawable, (void), );
    unsigned width = 0, height = 0;
    if (display && window) {
        CALL(void, glXQueryDrawable, (void *, unsigned long, int, unsigned *), display, window, WIDTH, &width);
        CALL(void, glXQueryDrawable, (void *, unsigned long, int, unsigned *), display, window, HEIGHT, &height);
    }
    if (!width || !height)
        return 0;
    laid[0] = (int)width, laid[1] = (int)height;
    return 1;
}

static void make_ready(void)
{
    if (ready || !is_on() || !find_layout())
        return;
    ready = 1;
    if (samples)
        resolved = make_framebuffer(0);
    ours = make_framebuffer(samples);
    int viewport[4] = {0, 0, laid[0], laid[1]};
    memcpy(seen_viewport, viewport, sizeof viewport);
    memcpy(seen_scissor, viewport, sizeof viewport);
    CALL(void, glViewport, (int, int, int, int), 0, 0, canvas[0], canvas[1]);
    CALL(void, glScissor, (int, int, int, int), 0, 0, canvas[0], canvas[1]);
    CALL(void, glLineWidth, (float), scale_width(1));
    CALL(void, glPointSize, (float), scale_width(1));
    if (samples)
        CALL(void, glEnable, (unsigned), 0x809D);
}

/* The framebuffer to read the finished picture from: 0 where the window is drawn as the game asks. */
unsigned finished_framebuffer(int size[2])
{
    make_ready();
    if (!ready)
        return 0;
    size[0] = drawn[0], size[1] = drawn[1];
    if (!samples)
        return ours;
    CALL(void, glBindFramebuffer, (unsigned, unsigned), READ, ours);
    CALL(void, glBindFramebuffer, (unsigned, unsigned), DRAW, resolved);
    CALL(void, glBlitFramebuffer, (int, int, int, int, int, int, int, int, unsigned, unsigned), 0, 0, drawn[0], drawn[1], 0,
         0, drawn[0], drawn[1], 0x4000, NEAREST);
    CALL(void, glBindFramebuffer, (unsigned, unsigned), DRAW, draws_ours ? ours : 0);
    return resolved;
}

static int scale(int value, int axis) { return (int)((long long)value * canvas[axis] / laid[axis]); }

static void scale_box(int box[4])
{
    int right = scale(box[0] + box[2], 0), top = scale(box[1] + box[3], 1);
    box[0] = scale(box[0], 0), box[1] = scale(box[1], 1);
    box[2] = right - box[0], box[3] = top - box[1];
}

void glViewport(int x, int y, int width, int height)
{
    int box[4] = {x, y, width, height};
    make_ready();
    if (ready && draws_ours) {
        memcpy(seen_viewport, box, sizeof box);
        scale_box(box);
    }
    CALL(void, glViewport, (int, int, int, int), box[0], box[1], box[2], box[3]);
}

void glScissor(int x, int y, int width, int height)
{
    int box[4] = {x, y, width, height};
    make_ready();
    if (ready && draws_ours) {
        memcpy(seen_scissor, box, sizeof box);
        scale_box(box);
    }
    CALL(void, glScissor, (int, int, int, int), box[0], box[1], box[2], box[3]);
}

/* The next frame is drawn whole where it is kept, and else into a corner, which is faster. */
void prepare_frame(int is_kept)
{
    static const int corner[2] = {16, 9};
    make_ready();
    if (!ready)
        return;
    find_layout();
    memcpy(canvas, is_kept ? drawn : corner, sizeof canvas);
    if (draws_ours) {
        glViewport(seen_viewport[0], seen_viewport[1], seen_viewport[2], seen_viewport[3]);
        glScissor(seen_scissor[0], seen_scissor[1], seen_scissor[2], seen_scissor[3]);
    }
}

void glClear(unsigned mask)
{
    make_ready();
    CALL(void, glClear, (unsigned), mask);
}

void glLineWidth(float width) { CALL(void, glLineWidth, (float), ready ? scale_width(width) : width); }
void glPointSize(float size) { CALL(void, glPointSize, (float), ready ? scale_width(size) : size); }

void glGetIntegerv(unsigned what, int *value)
{
    CALL(void, glGetIntegerv, (unsigned, int *), what, value);
    if (!is_on() || !ready)
        return;
    if (what == VIEWPORT && draws_ours)
        memcpy(value, seen_viewport, sizeof seen_viewport);
    if (what == SCISSOR_BOX && draws_ours)
        memcpy(value, seen_scissor, sizeof seen_scissor);
    if ((what == DRAW_BINDING && draws_ours) || (what == READ_BINDING && reads_ours))
        *value = 0;
}

void glGetFloatv(unsigned what, float *value)
{
    CALL(void, glGetFloatv, (unsigned, float *), what, value);
    for (int i = 0; i < 4 && is_on() && ready && what == VIEWPORT && draws_ours; i++)
        value[i] = (float)seen_viewport[i];
}

void glGetDoublev(unsigned what, double *value)
{
    CALL(void, glGetDoublev, (unsigned, double *), what, value);
    for (int i = 0; i < 4 && is_on() && ready && what == VIEWPORT && draws_ours; i++)
        value[i] = seen_viewport[i];
}

static void bind_framebuffer(unsigned target, unsigned name)
{
    make_ready();
    if (ready) {
        if (target != READ)
            draws_ours = name == 0;
        if (target != DRAW)
            reads_ours = name == 0;
        if (name == 0)
            name = ours;
    }
    CALL(void, glBindFramebuffer, (unsigned, unsigned), target, name);
}

void glBindFramebuffer(unsigned target, unsigned name) { bind_framebuffer(target, name); }
void glBindFramebufferEXT(unsigned target, unsigned name) { bind_framebuffer(target, name); }

static unsigned name_buffer(unsigned buffer, int is_ours)
{
    return is_on() && is_ours && buffer >= FRONT_LEFT && buffer <= AUX0 ? COLOR0 : buffer;
}

void glDrawBuffer(unsigned buffer)
{
    make_ready();
    CALL(void, glDrawBuffer, (unsigned), name_buffer(buffer, draws_ours));
}

void glReadBuffer(unsigned buffer)
{
    make_ready();
    CALL(void, glReadBuffer, (unsigned), name_buffer(buffer, reads_ours));
}

static int change_filter(unsigned what, int value)
{
    if (textures == 1 && what == MAG && value == LINEAR)
        return NEAREST;
    if (textures == 1 && what == MIN)
        return value == LINEAR ? NEAREST : value > NEAREST_NEAREST && value <= LINEAR_LINEAR ? NEAREST_NEAREST : value;
    if (textures == 2 && what == MIN && value >= NEAREST_NEAREST && value <= LINEAR_LINEAR)
        return LINEAR;
    return value;
}

void glTexParameteri(unsigned target, unsigned what, int value)
{
    is_on();
    CALL(void, glTexParameteri, (unsigned, unsigned, int), target, what, change_filter(what, value));
}

void glTexParameterf(unsigned target, unsigned what, float value)
{
    is_on();
    int mine = what == MIN || what == MAG;
    CALL(void, glTexParameterf, (unsigned, unsigned, float), target, what, mine ? (float)change_filter(what, (int)value) : value);
}

static const struct { const char *name; function ours; } hooks[] = {
    {"glViewport", (function)glViewport}, {"glScissor", (function)glScissor}, {"glClear", (function)glClear},
    {"glLineWidth", (function)glLineWidth}, {"glPointSize", (function)glPointSize}, {"glGetIntegerv", (function)glGetIntegerv},
    {"glGetFloatv", (function)glGetFloatv}, {"glGetDoublev", (function)glGetDoublev}, {"glBindFramebuffer", (function)glBindFramebuffer},
    {"glBindFramebufferEXT", (function)glBindFramebufferEXT}, {"glDrawBuffer", (function)glDrawBuffer},
    {"glReadBuffer", (function)glReadBuffer}, {"glTexParameteri", (function)glTexParameteri}, {"glTexParameterf", (function)glTexParameterf},
};

static function choose_hook(const char *name, function theirs)
{
    for (unsigned i = 0; theirs && i < sizeof hooks / sizeof *hooks; i++)
        if (!strcmp(name, hooks[i].name))
            return hooks[i].ours;
    return theirs;
}

function glXGetProcAddressARB(const unsigned char *name)
{
    return choose_hook((const char *)name, CALL(function, glXGetProcAddressARB, (const unsigned char *), name));
}

function glXGetProcAddress(const unsigned char *name)
{
    return choose_hook((const char *)name, CALL(function, glXGetProcAddress, (const unsigned char *), name));
}

void *SDL_GL_GetProcAddress(const char *name)
{
    return (void *)choose_hook(name, CALL(function, SDL_GL_GetProcAddress, (const char *), name));
}
