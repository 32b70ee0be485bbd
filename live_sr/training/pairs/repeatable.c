/* Makes a game's random numbers repeatable. Loaded before the game (LD_PRELOAD), it seeds rand() anew with every frame
   that the game writes to its video. Two runs at two sizes then get the same numbers for the same frame. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

typedef size_t writer(const void *, size_t, size_t, FILE *);

static const size_t least_frame = 100000; /* bytes; the game writes nothing else in pieces this large */
static uint64_t frames, state;

int rand(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return (int)(state >> 33);
}

void srand(unsigned seed)
{
    (void)seed;
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    static writer *next;
    if (!next)
        next = (writer *)dlsym(RTLD_NEXT, "fwrite");
    if (size * count >= least_frame)
        state = ++frames << 40;
    return next(data, size, count, file);
}
