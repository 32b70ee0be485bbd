/* Runs a CellNet on the processor: BGRA bytes in, enlarged BGRA bytes out, any part of the picture.
 *
 * All layers are computed together, row by row: as soon as three rows of a layer exist, the next layer computes one from
 * them, so that a picture never leaves the cache between two layers. One position of a row is a cell of 2x2 pixels.
 * What a position becomes does not depend on which part of the picture is drawn: every sum has the same order, so a part
 * equals the same part of the whole picture to the bit.
 *
 * A 3x3 convolution is a product of matrices. In a row, the channels of neighbouring cells follow each other, so the
 * three cells that a kernel's row reads are one stretch of memory; it is read in steps of 32 bf16 values, and where 3 *
 * channels is not a multiple of 32, the weights of the rest are zero. Products are summed in fp32 and activations are
 * stored in bf16. There are three implementations of the product: AMX, AVX-512 BF16, and plain C for tests.
 *
 * Weights come packed (packing.py): for each pair of tiles of 16 output channels, for each step, for each tile of the
 * pair, [16][32] bf16: pairs of input channels, then output channel, then which of the pair. */

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cpuid.h>
#include <immintrin.h>

#ifdef _WIN32
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#define EXPORT __declspec(dllexport)
#else
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#define EXPORT __attribute__((visibility("default")))
#endif

enum { PORTABLE = 1, AVX512_BF16 = 2, AMX_BF16 = 4 }; /* as in library.py */
enum { CELL = 2, LANES = 16, STEP = 32, BLOCK = 32 };  /* BLOCK: positions that one call of `multiply` computes */
enum { TILE = LANES * STEP, CELL_CHANNELS = 16, MAX_LAYERS = 64, MAX_STEPS = 64, MAX_SCALE = 8, SLACK = 16 };

typedef uint16_t bf16;

/* As in library.py. Biases and slopes: `features` for each hidden layer; last_bias: one for each channel of the last. */
typedef struct {
    int32_t scale, features, layers, last_channels; /* both numbers of channels are multiples of LANES */
    const bf16 *weights;                            /* of the hidden layers one after the other, then of the last one */
    const float *biases, *slopes, *last_bias;
} Network;

typedef struct {
    const uint8_t *source;
    uint8_t *target;
    int64_t source_stride, target_stride; /* bytes */
    int32_t width, height;                /* pixels of the source */
} Pictures;

/* The part of the source whose enlargement is drawn: left <= x < right, top <= y < bottom, in pixels or in cells. */
typedef struct {
    int32_t left, top, right, bottom;
} Part;

/* The inputs of a product: for each step, where the first position has it, and the bytes to the next position. */
typedef struct {
    const uint8_t *from[MAX_STEPS];
    int64_t pitch[MAX_STEPS];
    int count;
} Steps;

/* Sums: [2 groups of 16 positions][2 tiles][16 positions][16 channels]. */
typedef struct {
    float values[2][2][LANES][LANES];
} Sums;

typedef void Multiply(const Steps *steps, int first, const bf16 *weights, const float *bias, Sums *sums, int tiles,
                      int groups);
typedef void Activate(const Sums *sums, const float *slopes, bf16 *to, int channels, int tiles, int groups);
typedef int Quantize(const Sums *sums, uint8_t *to, int channels, int tiles, int groups);
typedef void ReadCells(const uint8_t *upper, const uint8_t *lower, bf16 *to, int count);
typedef struct Work Work;
typedef void WriteCells(const Work *work, int row, int column, int count);

typedef struct {
    Multiply *multiply;
    Activate *activate;
    Quantize *quantize; /* to bytes: clamped, rounded half to even; returns whether all sums were finite numbers */
    ReadCells *read_cells;
    WriteCells *write_cells;
} Path;

#define INLINE static inline __attribute__((always_inline))

/* ---- plain C ---- */

static float widen(bf16 value) {
    uint32_t bits = (uint32_t)value << 16;
    float wide;
    memcpy(&wide, &bits, 4);
    return wide;
}

static bf16 narrow(float value) { /* rounds half to even; no value is a NaN */
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void multiply_portable(const Steps *steps, int first, const bf16 *weights, const float *bias, Sums *sums,
                              int tiles, int groups) {
    for (int position = 0; position < groups * LANES; position++)
        for (int tile = 0; tile < tiles; tile++)
            for (int channel = 0; channel < LANES; channel++) {
                float sum = bias[tile * LANES + channel];
                for (int step = 0; step < steps->count; step++) {
                    const bf16 *input = (const bf16 *)(steps->from[step] + (first + position) * steps->pitch[step]);
                    const bf16 *weight = weights + (step * tiles + tile) * TILE + channel * 2;
                    for (int i = 0; i < STEP; i++) sum += widen(input[i]) * widen(weight[i / 2 * STEP + i % 2]);
                }
                sums->values[position / LANES][tile][position % LANES][channel] = sum;
            }
}

static void activate_portable(const Sums *sums, const float *slopes, bf16 *to, int channels, int tiles, int groups) {
    for (int position = 0; position < groups * LANES; position++)
        for (int tile = 0; tile < tiles; tile++)
            for (int i = 0; i < LANES; i++) {
                float value = sums->values[position / LANES][tile][position % LANES][i];
                if (value < 0) value *= slopes[tile * LANES + i];
                to[position * channels + tile * LANES + i] = narrow(value);
            }
}

static int quantize_portable(const Sums *sums, uint8_t *to, int channels, int tiles, int groups) {
    int finite = 1;
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it leaves no bits for a fraction, so the sum is rounded */
    for (int position = 0; position < groups * LANES; position++)
        for (int tile = 0; tile < tiles; tile++)
            for (int i = 0; i < LANES; i++) {
                volatile float value = sums->values[position / LANES][tile][position % LANES][i];
                if (!isfinite(value)) {
                    finite = 0;
                    value = 0;
                }
                value = value < 0 ? 0 : value > 255 ? 255 : value;
                value = value + shift;
                to[position * channels + tile * LANES + i] = (uint8_t)(value - shift);
            }
    return finite;
}

static void read_cells_portable(const uint8_t *upper, const uint8_t *lower, bf16 *to, int count) {
    for (int i = 0; i < count * CELL_CHANNELS; i++) {
        const uint8_t *row = i % CELL_CHANNELS < CELL_CHANNELS / 2 ? upper : lower;
        to[i] = narrow(row[i / CELL_CHANNELS * CELL_CHANNELS / 2 + i % (CELL_CHANNELS / 2)]);
    }
}

INLINE void write_pixels_portable(const uint8_t *from, uint8_t *to, int pixels) { /* BGR to opaque BGRA */
    for (int i = 0; i < pixels; i++, from += 3, to += 4) {
        memcpy(to, from, 3);
        to[3] = 255;
    }
}

/* ---- AVX-512 BF16 ---- */

#define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,prefer-vector-width=512")))

/* Eight positions and up to 32 channels: 16 sums, which leaves registers for two weights and one input. */
enum { AT_ONCE = 8 };

WIDE INLINE void multiply_eight(const Steps *steps, int start, const bf16 *weights, const float *bias, Sums *sums,
                                int first, const int tiles) {
    __m512 left[AT_ONCE], right[AT_ONCE];
#pragma GCC unroll 8
    for (int i = 0; i < AT_ONCE; i++) {
        left[i] = _mm512_loadu_ps(bias);
        right[i] = tiles == 2 ? _mm512_loadu_ps(bias + LANES) : left[i];
    }
    for (int step = 0; step < steps->count; step++, weights += tiles * TILE) {
        const int64_t pitch = steps->pitch[step];
        const uint8_t *from = steps->from[step] + (start + first) * pitch;
        for (int pair = 0; pair < LANES; pair++) {
            const __m512bh a = (__m512bh)_mm512_loadu_si512(weights + pair * STEP);
            const __m512bh b = tiles == 2 ? (__m512bh)_mm512_loadu_si512(weights + TILE + pair * STEP) : a;
#pragma GCC unroll 8
            for (int i = 0; i < AT_ONCE; i++) {
                int32_t both;
                memcpy(&both, from + i * pitch + pair * 4, 4);
                const __m512bh input = (__m512bh)_mm512_set1_epi32(both);
                left[i] = _mm512_dpbf16_ps(left[i], input, a);
                if (tiles == 2) right[i] = _mm512_dpbf16_ps(right[i], input, b);
            }
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < AT_ONCE; i++) {
        const int position = first + i;
        _mm512_storeu_ps(sums->values[position / LANES][0][position % LANES], left[i]);
        if (tiles == 2) _mm512_storeu_ps(sums->values[position / LANES][1][position % LANES], right[i]);
    }
}

WIDE static void multiply_avx512(const Steps *steps, int start, const bf16 *weights, const float *bias, Sums *sums,
                                 int tiles, int groups) {
    for (int first = 0; first < groups * LANES; first += AT_ONCE) {
        if (tiles == 2)
            multiply_eight(steps, start, weights, bias, sums, first, 2);
        else
            multiply_eight(steps, start, weights, bias, sums, first, 1);
    }
}

WIDE INLINE __m512 apply_slope(const float *values, __m512 slopes) {
    const __m512 value = _mm512_loadu_ps(values);
    return _mm512_mask_mul_ps(value, _mm512_movepi32_mask(_mm512_castps_si512(value)), value, slopes);
}

WIDE static void activate_avx512(const Sums *sums, const float *slopes, bf16 *to, int channels, int tiles, int groups) {
    const __m512 left = _mm512_loadu_ps(slopes);
    const __m512 right = tiles == 2 ? _mm512_loadu_ps(slopes + LANES) : left;
    for (int group = 0; group < groups; group++)
        for (int i = 0; i < LANES; i++, to += channels) {
            const __m512 a = apply_slope(sums->values[group][0][i], left);
            if (tiles == 2) {
                const __m512 b = apply_slope(sums->values[group][1][i], right);
                _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(b, a));
            } else {
                _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(a));
            }
        }
}

WIDE INLINE __m128i quantize_values(__m512 values) {
    const __m512i whole = _mm512_cvtps_epi32(values);
    return _mm512_cvtusepi32_epi8(_mm512_max_epi32(whole, _mm512_setzero_si512()));
}

enum { NO_NUMBERS = 0x99 }; /* classes of values: both kinds of NaN, and infinity of both signs */

WIDE static int quantize_avx512(const Sums *sums, uint8_t *to, int channels, int tiles, int groups) {
    __mmask16 found = 0;
    for (int group = 0; group < groups; group++)
        for (int i = 0; i < LANES; i++, to += channels)
            for (int tile = 0; tile < tiles; tile++) {
                const __m512 values = _mm512_loadu_ps(sums->values[group][tile][i]);
                found |= _mm512_fpclass_ps_mask(values, NO_NUMBERS);
                _mm_storeu_si128((__m128i *)(to + tile * LANES), quantize_values(values));
            }
    return !found;
}

WIDE static void read_cells_avx512(const uint8_t *upper, const uint8_t *lower, bf16 *to, int count) {
    for (int i = 0; i < count; i++, upper += 8, lower += 8, to += CELL_CHANNELS) {
        const __m128i bytes = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)upper),
                                                 _mm_loadl_epi64((const __m128i *)lower));
        const __m512 values = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)); /* at most 8 bits: exact in bf16 */
        _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(values));
    }
}

WIDE INLINE void write_pixels_avx512(const uint8_t *from, uint8_t *to, int pixels) { /* reads SLACK bytes too much */
    const __m128i order = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
    const __m128i opaque = _mm_set1_epi32((int)0xff000000u);
    for (; pixels > 0; pixels -= 4, from += 12, to += 16) {
        const __m128i four = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)from), order);
        if (pixels >= 4)
            _mm_storeu_si128((__m128i *)to, _mm_or_si128(four, opaque));
        else
            _mm_mask_storeu_epi32(to, (__mmask8)((1 << pixels) - 1), _mm_or_si128(four, opaque));
    }
}

/* ---- AMX ---- */

#define AMX __attribute__((target("amx-tile,amx-bf16")))

/* In place of the intrinsics of GCC 12: those do not say that they read memory, so that what was stored before may still
 * be missing, and on Windows their stride has only 32 bits. */
#define CONFIGURE_TILES(shapes) __asm__ volatile("ldtilecfg %0" : : "m"(shapes) : "memory")
#define LOAD_TILE(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((int64_t)(stride)) : "memory")
#define STORE_TILE(tile, to, stride) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((int64_t)(stride)) : "memory")

/* Tiles 0 to 3 hold sums: group, then channels. 4 and 5 hold inputs, 6 and 7 weights. */
AMX INLINE void multiply_tiles(const Steps *steps, int first, const bf16 *weights, const float *bias, Sums *sums,
                               const int tiles, const int groups) {
    LOAD_TILE(0, bias, 0);
    if (tiles == 2) LOAD_TILE(1, bias + LANES, 0);
    if (groups == 2) LOAD_TILE(2, bias, 0);
    if (groups == 2 && tiles == 2) LOAD_TILE(3, bias + LANES, 0);
    for (int step = 0; step < steps->count; step++, weights += tiles * TILE) {
        const int64_t pitch = steps->pitch[step];
        const uint8_t *from = steps->from[step] + first * pitch;
        LOAD_TILE(6, weights, STEP * 2);
        LOAD_TILE(4, from, pitch);
        _tile_dpbf16ps(0, 4, 6);
        if (tiles == 2) {
            LOAD_TILE(7, weights + TILE, STEP * 2);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (groups == 2) {
            LOAD_TILE(5, from + LANES * pitch, pitch);
            _tile_dpbf16ps(2, 5, 6);
            if (tiles == 2) _tile_dpbf16ps(3, 5, 7);
        }
    }
    STORE_TILE(0, sums->values[0][0], LANES * 4);
    if (tiles == 2) STORE_TILE(1, sums->values[0][1], LANES * 4);
    if (groups == 2) STORE_TILE(2, sums->values[1][0], LANES * 4);
    if (groups == 2 && tiles == 2) STORE_TILE(3, sums->values[1][1], LANES * 4);
}

AMX static void multiply_amx(const Steps *steps, int first, const bf16 *weights, const float *bias, Sums *sums,
                             int tiles, int groups) {
    if (tiles == 2 && groups == 2)
        multiply_tiles(steps, first, weights, bias, sums, 2, 2);
    else if (tiles == 2)
        multiply_tiles(steps, first, weights, bias, sums, 2, 1);
    else if (groups == 2)
        multiply_tiles(steps, first, weights, bias, sums, 1, 2);
    else
        multiply_tiles(steps, first, weights, bias, sums, 1, 1);
}

/* Eight tiles of 16 rows of 64 bytes. */
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_shapes = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

AMX static void set_up_tiles(void) { CONFIGURE_TILES(tile_shapes); }

AMX static void release_tiles(void) { _tile_release(); }

/* ---- what this processor has ---- */

static uint64_t read_enabled_state(void) { /* what the system saves of each thread */
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int ask_for_tiles(void) { /* a process may use tiles once it has asked the system */
    const int tile_data = 18;
#ifdef _WIN32
    typedef BOOL(WINAPI * Enable)(DWORD64);
    Enable enable = (Enable)(void *)GetProcAddress(GetModuleHandleA("kernel32"), "EnableProcessOptionalXStateFeatures");
    return enable && enable(1ULL << tile_data);
#else
    const long arch_req_xcomp_perm = 0x1023;
    return syscall(SYS_arch_prctl, arch_req_xcomp_perm, tile_data) == 0;
#endif
}

/* The paths that this process can use, added together. */
EXPORT int32_t cellnet_list_paths(void) {
    uint32_t a, b, c, d, features, bf16_features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return PORTABLE;
    if (!__get_cpuid_count(7, 0, &a, &features, &c, &d)) return PORTABLE;
    const uint32_t tiles = d;
    if (a >= 1) __get_cpuid_count(7, 1, &bf16_features, &b, &c, &d);
    const uint64_t state = read_enabled_state();
    const uint32_t needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    const int has_bf16 = bf16_features >> 5 & 1;
    if ((features & needed) != needed || !has_bf16 || (state & 0xe6) != 0xe6) return PORTABLE;
    const int has_amx = (tiles >> 22 & 1) && (tiles >> 24 & 1) && (state >> 17 & 3) == 3;
    return PORTABLE | AVX512_BF16 | (has_amx && ask_for_tiles() ? AMX_BF16 : 0);
}

/* ---- threads ---- */

#ifdef _WIN32
typedef CRITICAL_SECTION Mutex;
typedef CONDITION_VARIABLE Condition;
typedef HANDLE Thread;
#define THREAD_RESULT DWORD WINAPI
static void init_mutex(Mutex *mutex) { InitializeCriticalSection(mutex); }
static void destroy_mutex(Mutex *mutex) { DeleteCriticalSection(mutex); }
static void lock(Mutex *mutex) { EnterCriticalSection(mutex); }
static void unlock(Mutex *mutex) { LeaveCriticalSection(mutex); }
static void init_condition(Condition *condition) { InitializeConditionVariable(condition); }
static void destroy_condition(Condition *condition) { (void)condition; }
static void wait_for(Condition *condition, Mutex *mutex) { SleepConditionVariableCS(condition, mutex, INFINITE); }
static void wake_all(Condition *condition) { WakeAllConditionVariable(condition); }
static int start(Thread *thread, DWORD(WINAPI *run)(void *), void *argument) {
    *thread = CreateThread(NULL, 0, run, argument, 0, NULL);
    return *thread != NULL;
}
static void join(Thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}
static void *allocate_aligned(size_t bytes) { return _aligned_malloc(bytes, 64); }
static void free_aligned(void *memory) { _aligned_free(memory); }
#else
typedef pthread_mutex_t Mutex;
typedef pthread_cond_t Condition;
typedef pthread_t Thread;
#define THREAD_RESULT void *
static void init_mutex(Mutex *mutex) { pthread_mutex_init(mutex, NULL); }
static void destroy_mutex(Mutex *mutex) { pthread_mutex_destroy(mutex); }
static void lock(Mutex *mutex) { pthread_mutex_lock(mutex); }
static void unlock(Mutex *mutex) { pthread_mutex_unlock(mutex); }
static void init_condition(Condition *condition) { pthread_cond_init(condition, NULL); }
static void destroy_condition(Condition *condition) { pthread_cond_destroy(condition); }
static void wait_for(Condition *condition, Mutex *mutex) { pthread_cond_wait(condition, mutex); }
static void wake_all(Condition *condition) { pthread_cond_broadcast(condition); }
static int start(Thread *thread, void *(*run)(void *), void *argument) {
    return pthread_create(thread, NULL, run, argument) == 0;
}
static void join(Thread thread) { pthread_join(thread, NULL); }
static void *allocate_aligned(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }
static void free_aligned(void *memory) { free(memory); }
#endif

/* Memory of one thread, kept between pictures. */
typedef struct {
    uint8_t *memory;
    size_t bytes;
} Scratch;

typedef struct Engine Engine;

typedef struct {
    Engine *engine;
    int number;
    Thread thread;
} Worker;

struct Engine {
    Network network; /* its arrays are in `arrays`, each at a multiple of 64 bytes: a tile is read by cache lines */
    uint8_t *arrays;
    const Path *path;
    int workers; /* threads beside the caller's */
    Worker *worker;
    Scratch *scratch; /* of the workers, then of the caller */
    Part *parts;      /* of the picture in work */
    int part_count, part_room;
    Pictures pictures;
    atomic_int next_part, result;
    Mutex mutex;
    Condition begun, done;
    /* guarded by the mutex: */
    unsigned turn; /* number of the picture in work */
    int busy, closing;
};

/* ---- one part of a picture ---- */

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int round_up(int number, int step) { return (number + step - 1) / step * step; }
static int count_steps(int channels) { return (3 * channels + STEP - 1) / STEP; }

/* Rows that are kept of each layer and of the cells: those that a later row still needs, a power of two. */
enum { KEPT_ROWS = 4 };

/* A part in work. The frame is the picture in cells, with one cell of repeated edge on each side; a position in a row
 * buffer is a column of the frame minus `origin`. */
struct Work {
    const Network *network;
    const Path *path;
    const Pictures *pictures;
    Part pixels, part; /* what is drawn, and the cells that hold it */
    int rows, columns; /* of the frame */
    int origin;
    int room; /* positions in a row buffer */
    int kept_cells;
    uint8_t *cells, *features, *zeros, *bytes;
    Sums *sums;
};

/* Divides the scratch memory, or only computes how much is needed where there is none. */
static size_t divide_scratch(Work *work, uint8_t *memory) {
    const Network *network = work->network;
    const size_t room = (size_t)work->room;
    size_t used = 0;
    work->cells = memory + used;
    used += room * CELL_CHANNELS * sizeof(bf16) * work->kept_cells;
    work->features = memory + used;
    used += room * network->features * sizeof(bf16) * KEPT_ROWS * network->layers;
    work->zeros = memory + used;
    used += room * max(network->features, CELL_CHANNELS) * sizeof(bf16);
    work->sums = (Sums *)(memory + used);
    used += sizeof(Sums);
    work->bytes = memory + used;
    used += (size_t)BLOCK * network->last_channels + SLACK;
    return used;
}

static uint8_t *find_cells(const Work *work, int row) {
    if (row < 0 || row >= work->rows) return work->zeros;
    return work->cells + (size_t)(row & (work->kept_cells - 1)) * work->room * CELL_CHANNELS * sizeof(bf16);
}

static uint8_t *find_features(const Work *work, int layer, int row) {
    if (row < 0 || row >= work->rows) return work->zeros;
    const size_t number = (size_t)layer * KEPT_ROWS + (row & (KEPT_ROWS - 1));
    return work->features + number * work->room * work->network->features * sizeof(bf16);
}

/* Adds the steps of three rows, one above the other. */
static void add_steps(Steps *steps, uint8_t *const rows[3], int channels) {
    const int64_t pitch = channels * (int64_t)sizeof(bf16);
    for (int row = 0; row < 3; row++)
        for (int step = 0; step < count_steps(channels); step++) {
            steps->from[steps->count] = rows[row] + step * STEP * (int)sizeof(bf16);
            steps->pitch[steps->count++] = pitch;
        }
}

static const uint8_t *find_pixel(const Pictures *pictures, int x, int y) { /* the nearest one there is */
    x = min(max(x, 0), pictures->width - 1);
    y = min(max(y, 0), pictures->height - 1);
    return pictures->source + y * pictures->source_stride + (int64_t)x * 4;
}

static void read_cell_row(const Work *work, int row, int first, int last) {
    const Pictures *pictures = work->pictures;
    const int y = (row - 1) * CELL;
    bf16 *to = (bf16 *)find_cells(work, row);
    const int inside = min(last, pictures->width / CELL + 1); /* from there on, a pixel of the cell is missing */
    int column = first;
    while (column < last) {
        const int x = (column - 1) * CELL;
        bf16 *cell = to + (size_t)(column - work->origin) * CELL_CHANNELS;
        if (x >= 0 && column < inside) {
            work->path->read_cells(find_pixel(pictures, x, y), find_pixel(pictures, x, y + 1), cell, inside - column);
            column = inside;
            continue;
        }
        uint8_t pixels[2][2][4];
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++) memcpy(pixels[i][j], find_pixel(pictures, x + j, y + i), 4);
        work->path->read_cells(pixels[0][0], pixels[1][0], cell, 1);
        column++;
    }
}

/* One row of a hidden layer, in the columns first <= x < last; returns where the next layer's weights are. */
static void compute_row(const Work *work, int layer, const bf16 *weights, int row, int first, int last) {
    const Network *network = work->network;
    const int features = network->features, tiles = features / LANES;
    const int inside = layer ? features : CELL_CHANNELS;
    uint8_t *rows[3];
    for (int i = 0; i < 3; i++)
        rows[i] = layer ? find_features(work, layer - 1, row - 1 + i) : find_cells(work, row - 1 + i);
    bf16 *to = (bf16 *)find_features(work, layer, row);
    const float *bias = network->biases + layer * features, *slopes = network->slopes + layer * features;
    Steps steps = {.count = 0};
    add_steps(&steps, rows, inside);
    for (int column = first; column < last; column += BLOCK) {
        const int position = column - work->origin;
        const int groups = last - column > LANES ? 2 : 1;
        const bf16 *weight = weights;
        for (int tile = 0; tile < tiles; tile += 2) {
            const int pair = min(2, tiles - tile);
            work->path->multiply(&steps, position - 1, weight, bias + tile * LANES, work->sums, pair, groups);
            work->path->activate(work->sums, slopes + tile * LANES, to + (size_t)position * features + tile * LANES,
                                 features, pair, groups);
            weight += steps.count * pair * TILE;
        }
    }
    if (last == work->columns) /* beyond the frame, the next layer reads zeros */
        memset(to + (size_t)(last - work->origin) * features, 0, features * sizeof(bf16));
}

/* Writes those pixels of cells that belong to the part, from channels in this order: place, then blue, green, red. */
INLINE void write_cells(const Work *work, int row, int column, int count,
                        void (*write_pixels)(const uint8_t *, uint8_t *, int)) {
    const Network *network = work->network;
    const int scale = network->scale, side = CELL * scale;
    const int64_t stride = work->pictures->target_stride;
    const int top = max(0, work->pixels.top * scale - row * side);
    const int bottom = min(side, work->pixels.bottom * scale - row * side);
    for (int y = top; y < bottom; y++) {
        uint8_t *to = work->pictures->target + ((int64_t)row * side + y) * stride + (int64_t)column * side * 4;
        const uint8_t *from = work->bytes + y * side * 3;
        for (int i = 0; i < count; i++, from += network->last_channels, to += side * 4) {
            const int left = max(0, work->pixels.left * scale - (column + i) * side);
            const int right = min(side, work->pixels.right * scale - (column + i) * side);
            write_pixels(from + left * 3, to + left * 4, right - left);
        }
    }
}

static void write_cells_portable(const Work *work, int row, int column, int count) {
    write_cells(work, row, column, count, write_pixels_portable);
}

WIDE static void write_cells_avx512(const Work *work, int row, int column, int count) {
    write_cells(work, row, column, count, write_pixels_avx512);
}

static const Path portable = {multiply_portable, activate_portable, quantize_portable, read_cells_portable,
                              write_cells_portable};
static const Path avx512 = {multiply_avx512, activate_avx512, quantize_avx512, read_cells_avx512, write_cells_avx512};
static const Path amx = {multiply_amx, activate_avx512, quantize_avx512, read_cells_avx512, write_cells_avx512};

/* Returns whether all sums were finite numbers. */
static int draw_row(const Work *work, const bf16 *weights, int row) {
    const Network *network = work->network;
    int finite = 1;
    uint8_t *features[3], *cells[3];
    for (int i = 0; i < 3; i++) { /* row `row` of the cells is row `row + 1` of the frame */
        features[i] = find_features(work, network->layers - 1, row + i);
        cells[i] = find_cells(work, row + i);
    }
    Steps steps = {.count = 0};
    add_steps(&steps, features, network->features);
    add_steps(&steps, cells, CELL_CHANNELS);
    for (int column = work->part.left; column < work->part.right; column += BLOCK) {
        const int count = min(BLOCK, work->part.right - column), groups = count > LANES ? 2 : 1;
        const bf16 *weight = weights;
        for (int channel = 0; channel < network->last_channels; channel += 2 * LANES) {
            const int pair = min(2, (network->last_channels - channel) / LANES);
            work->path->multiply(&steps, column - work->origin, weight, network->last_bias + channel, work->sums, pair,
                                 groups);
            finite &= work->path->quantize(work->sums, work->bytes + channel, network->last_channels, pair, groups);
            weight += steps.count * pair * TILE;
        }
        work->path->write_cells(work, row, column, count);
    }
    return finite;
}

/* How drawing ends. NOT_FINITE: the picture is drawn, but some of its numbers are none. */
enum { NO_MEMORY, DRAWN, NOT_FINITE };

/* Returns one of the above. */
static int draw_part(const Engine *engine, const Part *pixels, Scratch *scratch) {
    const Network *network = &engine->network;
    const int layers = network->layers; /* layer i needs `layers - 1 - i` more columns and rows on each side */
    Work work = {.network = network, .path = engine->path, .pictures = &engine->pictures, .pixels = *pixels};
    work.part = (Part){pixels->left / CELL, pixels->top / CELL, (pixels->right + CELL - 1) / CELL,
                       (pixels->bottom + CELL - 1) / CELL};
    const Part *part = &work.part;
    work.rows = (engine->pictures.height + CELL - 1) / CELL + 2;
    work.columns = (engine->pictures.width + CELL - 1) / CELL + 2;
    work.origin = part->left - layers - 1; /* one position more than the cells that are read */
    work.room = round_up(part->right - part->left + 2 * layers + 4, BLOCK) + BLOCK + 4;
    for (work.kept_cells = KEPT_ROWS; work.kept_cells < layers + 4;) work.kept_cells *= 2;
    const size_t needed = divide_scratch(&work, NULL);
    if (scratch->bytes < needed) {
        free_aligned(scratch->memory);
        scratch->memory = allocate_aligned(needed);
        scratch->bytes = scratch->memory ? needed : 0;
        if (!scratch->memory) return NO_MEMORY;
    }
    int finite = 1;
    divide_scratch(&work, scratch->memory);
    memset(scratch->memory, 0, needed);

    const int first_row = part->top - layers;
    for (int row = first_row; row < part->bottom + layers + 2; row++) {
        if (row >= 0 && row < work.rows && row < part->bottom + 2 + layers)
            read_cell_row(&work, row, max(0, part->left - layers), min(work.columns, part->right + 2 + layers));
        const bf16 *weights = network->weights;
        for (int layer = 0; layer < layers; layer++) {
            const int margin = layers - 1 - layer, now = row - 1 - layer;
            if (now >= max(0, part->top - margin) && now < min(work.rows, part->bottom + 2 + margin))
                compute_row(&work, layer, weights, now, max(0, part->left - margin),
                            min(work.columns, part->right + 2 + margin));
            const int tiles = network->features / LANES;
            weights += (size_t)3 * count_steps(layer ? network->features : CELL_CHANNELS) * tiles * TILE;
        }
        const int drawn = row - 2 - layers;
        if (drawn >= part->top && drawn < part->bottom) finite &= draw_row(&work, weights, drawn);
    }
    return finite ? DRAWN : NOT_FINITE;
}

/* ---- a whole picture ---- */

static void draw_parts(Engine *engine, Scratch *scratch) {
    int number;
    if (engine->path == &amx) set_up_tiles();
    while ((number = atomic_fetch_add(&engine->next_part, 1)) < engine->part_count) {
        const int result = draw_part(engine, &engine->parts[number], scratch);
        int drawn = DRAWN; /* NO_MEMORY of another part stays: its part was not drawn at all */
        if (result == NO_MEMORY) atomic_store(&engine->result, NO_MEMORY);
        if (result == NOT_FINITE) atomic_compare_exchange_strong(&engine->result, &drawn, NOT_FINITE);
    }
    if (engine->path == &amx) release_tiles();
}

static THREAD_RESULT work_on(void *argument) {
    const Worker *worker = argument;
    Engine *engine = worker->engine;
    unsigned turn = 0;
    lock(&engine->mutex);
    for (;;) {
        while (engine->turn == turn && !engine->closing) wait_for(&engine->begun, &engine->mutex);
        if (engine->closing) break;
        turn = engine->turn;
        unlock(&engine->mutex);
        draw_parts(engine, &engine->scratch[worker->number]);
        lock(&engine->mutex);
        if (--engine->busy == 0) wake_all(&engine->done);
    }
    unlock(&engine->mutex);
    return 0;
}

/* Pixels of which a part computes features, the rows and columns around it included. */
static int64_t compute_cost(const Part *part, int layers) {
    const int64_t margin = CELL * layers;
    return (part->right - part->left + margin) * (part->bottom - part->top + margin);
}

/* Cuts the parts into bands of rows, so that all threads have the same work. A band computes some rows of its neighbours
 * again, so there are few. Returns 0 where there is not enough memory. */
static int cut_into_bands(Engine *engine, const Part *parts, int count) {
    const int layers = engine->network.layers, threads = engine->workers + 1;
    int64_t total = 0;
    for (int i = 0; i < count; i++) total += compute_cost(&parts[i], layers);
    if (engine->part_room < count + 2 * threads) {
        Part *larger = realloc(engine->parts, sizeof(Part) * (size_t)(count + 2 * threads));
        if (!larger) return 0;
        engine->parts = larger;
        engine->part_room = count + 2 * threads;
    }
    engine->part_count = 0;
    for (int i = 0; i < count; i++) {
        const int rows = (parts[i].bottom - parts[i].top) / CELL;
        const int share = (int)((compute_cost(&parts[i], layers) * threads + total / 2) / total);
        const int bands = max(1, min(min(share, threads), rows / (layers + 1)));
        Part part = parts[i];
        for (int band = 1; band <= bands; band++, part.top = part.bottom) { /* cut between two cells */
            const int end = parts[i].top / CELL + (int)((int64_t)rows * band / bands);
            part.bottom = band < bands ? end * CELL : parts[i].bottom;
            engine->parts[engine->part_count++] = part;
        }
    }
    return 1;
}

/* Draws these parts of the picture, in pixels and inside it. One thread at a time calls it. Returns NO_MEMORY, DRAWN or
 * NOT_FINITE. */
EXPORT int32_t cellnet_draw(Engine *engine, const Pictures *pictures, const Part *parts, int32_t count) {
    engine->pictures = *pictures;
    if (count < 1) return DRAWN;
    if (!cut_into_bands(engine, parts, count)) return NO_MEMORY;
    atomic_store(&engine->next_part, 0);
    atomic_store(&engine->result, DRAWN);
    const int together = engine->workers && engine->part_count > 1;
    if (together) {
        lock(&engine->mutex);
        engine->turn++;
        engine->busy = engine->workers;
        wake_all(&engine->begun);
        unlock(&engine->mutex);
    }
    draw_parts(engine, &engine->scratch[engine->workers]);
    if (together) {
        lock(&engine->mutex);
        while (engine->busy) wait_for(&engine->done, &engine->mutex);
        unlock(&engine->mutex);
    }
    return atomic_load(&engine->result);
}

EXPORT void cellnet_close(Engine *engine) {
    lock(&engine->mutex);
    engine->closing = 1;
    wake_all(&engine->begun);
    unlock(&engine->mutex);
    for (int i = 0; i < engine->workers; i++) join(engine->worker[i].thread);
    for (int i = 0; i <= engine->workers; i++) free_aligned(engine->scratch[i].memory);
    destroy_condition(&engine->begun);
    destroy_condition(&engine->done);
    destroy_mutex(&engine->mutex);
    free_aligned(engine->arrays);
    free(engine->parts);
    free(engine->scratch);
    free(engine->worker);
    free(engine);
}

static const void *copy_array(uint8_t **to, const void *values, size_t bytes) {
    uint8_t *copy = *to;
    memcpy(copy, values, bytes);
    *to += (bytes + 63) / 64 * 64;
    return copy;
}

/* Copies the network with its arrays. Returns 0 where there is not enough memory. */
static int copy_network(Engine *engine, const Network *from) {
    const size_t features = (size_t)from->features, layers = (size_t)from->layers;
    const size_t inner = (size_t)count_steps(from->features), outer = (size_t)count_steps(CELL_CHANNELS);
    const size_t hidden = 3 * (outer + (layers - 1) * inner) * STEP * features;
    const size_t weights = (hidden + 3 * (inner + outer) * STEP * (size_t)from->last_channels) * sizeof(bf16);
    const size_t values = layers * features * sizeof(float), last = (size_t)from->last_channels * sizeof(float);
    engine->arrays = allocate_aligned(weights + 2 * values + last + 4 * 64);
    if (!engine->arrays) return 0;
    uint8_t *to = engine->arrays;
    engine->network = *from;
    engine->network.weights = copy_array(&to, from->weights, weights);
    engine->network.biases = copy_array(&to, from->biases, values);
    engine->network.slopes = copy_array(&to, from->slopes, values);
    engine->network.last_bias = copy_array(&to, from->last_bias, last);
    return 1;
}

static int is_valid(const Network *network) {
    const int side = CELL * network->scale;
    const int steps = 3 * (count_steps(network->features) + count_steps(CELL_CHANNELS));
    return network->scale >= 1 && network->scale <= MAX_SCALE && network->layers >= 1 &&
           network->layers <= MAX_LAYERS && network->features >= LANES && network->features % LANES == 0 &&
           steps <= MAX_STEPS && network->last_channels == round_up(3 * side * side, LANES);
}

/* The network is copied. NULL where it is none that can be computed, the path does not exist here, or there is not enough
 * memory. */
EXPORT Engine *cellnet_open(const Network *network, int32_t path, int32_t threads) {
    if (!is_valid(network) || threads < 1 || !(cellnet_list_paths() & path)) return NULL;
    Engine *engine = calloc(1, sizeof(Engine));
    if (!engine) return NULL;
    engine->path = path == AMX_BF16 ? &amx : path == AVX512_BF16 ? &avx512 : &portable;
    init_mutex(&engine->mutex);
    init_condition(&engine->begun);
    init_condition(&engine->done);
    engine->worker = calloc((size_t)threads, sizeof(Worker));
    engine->scratch = calloc((size_t)threads, sizeof(Scratch));
    int started = engine->worker && engine->scratch && copy_network(engine, network);
    for (int i = 0; started && i < threads - 1; i++) {
        engine->worker[i].engine = engine;
        engine->worker[i].number = i;
        started = start(&engine->worker[i].thread, work_on, &engine->worker[i]);
        engine->workers += started;
    }
    if (started) return engine;
    if (!engine->scratch) engine->workers = -1;  /* nothing to free in it */
    cellnet_close(engine);
    return NULL;
}
