/* Makes an OpenGL game repeat itself, and writes chosen frames to files. Loaded before the game (LD_PRELOAD).

   The clock stands still while the game draws, and goes on by CLOCK_STEP microseconds with each frame that it shows;
   random numbers depend on the frame's number alone. So two runs at two sizes show the same instants. CLOCK_KEYS:
   "frame:scan code:key code:frames held;..." are pressed in these frames (SDL 1.2 and SDL 2; in GLUT the key code is the
   character, or 256 and the special key). FRAMES_FIRST, FRAMES_EVERY, FRAMES_MOST: the frames that are written to
   FRAMES_OUT as NUMBER.ppm; after the last one the game ends. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

unsigned finished_framebuffer(int size[2]);
void prepare_frame(int is_kept);

static const int64_t start = 1700000000LL * 1000000; /* microseconds since 1970, at the first frame */
static const int64_t start_monotonic = 1000000000LL; /* microseconds */
static const long calls_before_a_step = 20000;       /* a game that waits for the clock without a sleep goes on */
static int64_t elapsed;
static long frame, kept, calls;
static uint32_t state = 0x9E3779B9u;

static long read_setting(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

static int is_main_thread(void) { return syscall(SYS_gettid) == getpid(); }

static int64_t read_clock(void)
{
    if (is_main_thread() && ++calls > calls_before_a_step) {
        calls = 0;
        elapsed += 1000;
    }
    return elapsed;
}

static int is_wall_clock(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock == CLOCK_THREAD_CPUTIME_ID || clock == CLOCK_PROCESS_CPUTIME_ID)
        return (int)syscall(SYS_clock_gettime, clock, now);
    int64_t time = read_clock() + (is_wall_clock(clock) ? start : start_monotonic);
    now->tv_sec = time / 1000000;
    now->tv_nsec = time % 1000000 * 1000;
    return 0;
}

int gettimeofday(struct timeval *now, void *zone)
{
    (void)zone;
    int64_t time = start + read_clock();
    now->tv_sec = time / 1000000;
    now->tv_usec = time % 1000000;
    return 0;
}

time_t time(time_t *now)
{
    time_t seconds = (start + read_clock()) / 1000000;
    if (now)
        *now = seconds;
    return seconds;
}

static int sleep_on_our_clock(int64_t time)
{
    if (!is_main_thread())
        return 0;
    elapsed += time;
    calls = 0;
    return 1;
}

static int64_t to_microseconds(const struct timespec *time) { return time->tv_sec * 1000000LL + time->tv_nsec / 1000; }

int nanosleep(const struct timespec *length, struct timespec *rest)
{
    return sleep_on_our_clock(to_microseconds(length)) ? 0 : (int)syscall(SYS_nanosleep, length, rest);
}

int usleep(useconds_t length)
{
    struct timespec time = {length / 1000000, length % 1000000 * 1000};
    return nanosleep(&time, NULL);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *rest)
{
    static const struct timespec moment = {0, 1000000};
    if (!(flags & TIMER_ABSTIME))
        return nanosleep(until, rest) ? errno : 0;
    int64_t time = to_microseconds(until) - (is_wall_clock(clock) ? start : start_monotonic);
    if (!is_main_thread())
        syscall(SYS_nanosleep, &moment, NULL);
    else if (time > elapsed)
        elapsed = time;
    return 0;
}

/* GLUT waits with it, for events or its next timer. */
int select(int count, fd_set *readable, fd_set *writable, fd_set *failed, struct timeval *wait)
{
    static int (*next)(int, fd_set *, fd_set *, fd_set *, struct timeval *);
    struct timeval none = {0, 0};
    if (!next)
        next = (int (*)(int, fd_set *, fd_set *, fd_set *, struct timeval *))dlsym(RTLD_NEXT, "select");
    int found = next(count, readable, writable, failed, wait && is_main_thread() ? &none : wait);
    if (found == 0 && wait)
        sleep_on_our_clock(wait->tv_sec * 1000000LL + wait->tv_usec);
    return found;
}

/* Extreme Tux Racer looks for its settings here: in HOME, as for other games, it finds none of the user's. */
struct passwd *getpwuid(uid_t user)
{
    static struct passwd *(*next)(uid_t);
    if (!next)
        next = (struct passwd * (*)(uid_t)) dlsym(RTLD_NEXT, "getpwuid");
    struct passwd *found = next(user);
    char *home = getenv("HOME");
    if (found && home)
        found->pw_dir = home;
    return found;
}

int rand(void)
{
    if (!is_main_thread())
        return 4; /* other threads run at no fixed time: they must not change what the main thread gets */
    state ^= state << 13, state ^= state >> 17, state ^= state << 5; /* Marsaglia's xorshift */
    return (int)(state & 0x7fffffff);
}

long random(void) { return rand(); }
void srand(unsigned seed) { (void)seed; }
void srandom(unsigned seed) { (void)seed; }

static int is_kept(long number)
{
    long first = read_setting("FRAMES_FIRST", 0), every = read_setting("FRAMES_EVERY", 30);
    return getenv("FRAMES_OUT") && number >= first && (number - first) % every == 0;
}

static void *find_in_library(const char *name)
{
    static void *library;
    if (!library)
        library = dlopen("libGL.so.1", RTLD_NOW | RTLD_GLOBAL);
    return dlsym(library, name);
}

static unsigned char *read_picture(int size[2])
{
    enum { VIEWPORT = 0x0BA2, BINDING = 0x8CAA, PIXEL_BUFFER_BINDING = 0x88ED, ALIGNMENT = 0x0D05, READ = 0x8CA8 };
    enum { PIXEL_BUFFER = 0x88EB, BACK = 0x0405, COLOR0 = 0x8CE0, RGB = 0x1907, BYTES = 0x1401 };
    void (*get)(unsigned, int *) = (void (*)(unsigned, int *))find_in_library("glGetIntegerv");
    void (*bind)(unsigned, unsigned) = (void (*)(unsigned, unsigned))find_in_library("glBindFramebuffer");
    void (*bind_buffer)(unsigned, unsigned) = (void (*)(unsigned, unsigned))find_in_library("glBindBuffer");
    void (*choose)(unsigned) = (void (*)(unsigned))find_in_library("glReadBuffer");
    void (*store)(unsigned, int) = (void (*)(unsigned, int))find_in_library("glPixelStorei");
    void (*read)(int, int, int, int, unsigned, unsigned, void *) =
        (void (*)(int, int, int, int, unsigned, unsigned, void *))find_in_library("glReadPixels");
    int viewport[4], bound, buffer, alignment;
    get(VIEWPORT, viewport), get(BINDING, &bound), get(PIXEL_BUFFER_BINDING, &buffer), get(ALIGNMENT, &alignment);
    size[0] = viewport[2], size[1] = viewport[3];
    unsigned finished = finished_framebuffer(size);
    unsigned char *pixels = malloc((size_t)size[0] * size[1] * 3);
    bind(READ, finished), bind_buffer(PIXEL_BUFFER, 0), choose(finished ? COLOR0 : BACK), store(ALIGNMENT, 1);
    read(0, 0, size[0], size[1], RGB, BYTES, pixels);
    store(ALIGNMENT, alignment), bind(READ, (unsigned)bound), bind_buffer(PIXEL_BUFFER, (unsigned)buffer);
    return pixels;
}

static void write_frame(void)
{
    if (!is_kept(frame))
        return;
    char path[4096];
    int size[2];
    unsigned char *pixels = read_picture(size);
    snprintf(path, sizeof path, "%s/%06ld.ppm", getenv("FRAMES_OUT"), frame);
    FILE *file = fopen(path, "wb");
    if (!file)
        _exit(1);
    fprintf(file, "P6\n%d %d\n255\n", size[0], size[1]);
    for (int row = size[1] - 1; row >= 0; row--) /* OpenGL begins with the lowest row */
        fwrite(pixels + (size_t)row * size[0] * 3, 3, (size_t)size[0], file);
    fclose(file);
    free(pixels);
    if (++kept >= read_setting("FRAMES_MOST", 1))
        _exit(0);
}

static void (*glut_key)(unsigned char, int, int);
static void (*glut_special)(int, int, int);

/* A program that asks the X server itself (SFML) gets the key as the next event of its window; `key` is a KeySym. */
static void press_in_x(int key, int down)
{
    /* XKeyEvent, in the room of an XEvent */
    struct { int type; unsigned long serial; int sent; void *display; unsigned long window, root, child, time;
             int place[4]; unsigned modifiers, code; int same_screen; long room[24]; } event = {down ? 2 : 3};
    unsigned char (*find_code)(void *, unsigned long) =
        (unsigned char (*)(void *, unsigned long))dlsym(RTLD_DEFAULT, "XKeysymToKeycode");
    int (*put)(void *, void *) = (int (*)(void *, void *))dlsym(RTLD_DEFAULT, "XPutBackEvent");
    void *(*find_display)(void) = (void *(*)(void))find_in_library("glXGetCurrentDisplay");
    unsigned long (*find_window)(void) = (unsigned long (*)(void))find_in_library("glXGetCurrentDrawable");
    if (!find_code || !put)
        return;
    event.display = find_display();
    event.window = find_window();
    event.code = find_code(event.display, (unsigned long)key);
    event.same_screen = 1;
    put(event.display, &event);
}

static void press(int scan_code, int key, int down)
{
    /* SDL_KeyboardEvent of SDL 2 and of SDL 1.2 */
    struct { uint32_t type, time, window; uint8_t state, repeat, pad[2]; int32_t scan, sym; uint32_t mod, unused; char rest[64]; }
        second = {down ? 0x300 : 0x301, 0, 1, (uint8_t)down, 0, {0}, scan_code, key, 0, 0, {0}};
    struct { uint8_t type, which, state; struct { uint8_t scan; int32_t sym, mod; uint16_t text; } key; char rest[64]; }
        first = {down ? 2 : 3, 0, (uint8_t)down, {(uint8_t)scan_code, key, 0, key < 128 ? (uint16_t)key : 0}, {0}};
    int (*push)(void *) = (int (*)(void *))dlsym(RTLD_DEFAULT, "SDL_PushEvent");
    if (push)
        push(dlsym(RTLD_DEFAULT, "SDL_SetVideoMode") ? (void *)&first : (void *)&second); /* SDL 1.2 has that one */
    else if (down && key >= 256 && glut_special)
        glut_special(key - 256, 0, 0);
    else if (down && glut_key)
        glut_key((unsigned char)key, 0, 0);
    else if (!glut_special && !glut_key)
        press_in_x(key, down);
}

static void press_keys(void)
{
    const char *entry = getenv("CLOCK_KEYS");
    while (entry && *entry) {
        long when;
        int scan_code, key, held;
        if (sscanf(entry, "%ld:%d:%d:%d", &when, &scan_code, &key, &held) == 4 && (when == frame || when + held == frame))
            press(scan_code, key, when == frame);
        entry = strchr(entry, ';');
        entry += entry != NULL;
    }
}

static void begin_next_frame(void)
{
    frame++;
    elapsed += read_setting("CLOCK_STEP", 33333);
    calls = 0;
    state = (uint32_t)(frame + 1) * 2654435761u | 1;
    prepare_frame(is_kept(frame));
    void (*redisplay)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "glutPostRedisplay");
    if (redisplay) /* GLUT draws a menu only when it is asked to, and our keys need its frames */
        redisplay();
    press_keys(); /* last: a menu of GLUT draws the next frames from here */
}

#define SHOW(name, types, parameters, ...) \
    void name parameters \
    { \
        static void(*next) types; \
        if (!next) \
            next = (void(*) types)dlsym(RTLD_NEXT, #name); \
        write_frame(); \
        next(__VA_ARGS__); \
        begin_next_frame(); \
    }

SHOW(SDL_GL_SwapWindow, (void *), (void *window), window)
SHOW(SDL_GL_SwapBuffers, (void), (void), )
SHOW(glXSwapBuffers, (void *, unsigned long), (void *display, unsigned long drawable), display, drawable)

void glutKeyboardFunc(void (*callback)(unsigned char, int, int))
{
    glut_key = callback;
    ((void (*)(void (*)(unsigned char, int, int)))dlsym(RTLD_NEXT, "glutKeyboardFunc"))(callback);
}

void glutSpecialFunc(void (*callback)(int, int, int))
{
    glut_special = callback;
    ((void (*)(void (*)(int, int, int)))dlsym(RTLD_NEXT, "glutSpecialFunc"))(callback);
}
