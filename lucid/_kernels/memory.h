/* memory.h: a pool for the large arrays that kernels return.
 *
 * A training step makes and drops the same large temporaries over and over. From malloc they come
 * as fresh pages, and the kernel then spends longer on page faults than on arithmetic. The pool
 * keeps freed blocks by size class and hands them out again, warm.
 *
 * It is a NumPy memory handler, so arrays own their memory as usual and give it back wherever they
 * are dropped; but it is in force only while a kernel makes its output: NumPy's own arrays, the
 * user's included, are allocated as ever. All of it runs under the GIL, which is its lock.
 *
 * Size classes: four per power of two, so at most a fifth of a block is unused. Blocks are aligned
 * to 64 bytes, those of 4 MiB and more to 2 MiB with transparent huge pages asked for.
 */
#ifndef LUCID_MEMORY_H
#define LUCID_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#include <numpy/ndarraytypes.h>

enum { POOL_CLASSES = 4 * 48, POOL_SMALLEST = 1 << 15 };

typedef struct pool_block { struct pool_block *next; } pool_block;

static struct pool_state {
    pool_block *free_blocks[POOL_CLASSES];
    size_t limit, cached, in_use;
    size_t hits, misses;
} pool = {.limit = (size_t)1 << 30};

/* The class of a size, and the size of its blocks. */
static int pool_class(size_t size, size_t *rounded) {
    if (size < POOL_SMALLEST) size = POOL_SMALLEST;
    int power = 63 - __builtin_clzll((unsigned long long)size);
    size_t base = (size_t)1 << power, step = base >> 2;
    size_t quarter = (size - base + step - 1) / step;
    *rounded = base + quarter * step;
    return 4 * (power - 15) + (int)quarter; /* a fourth quarter is the next power's class 0 */
}

static void *pool_malloc(void *context, size_t size) {
    (void)context;
    size_t rounded;
    int class = pool_class(size, &rounded);
    if (class >= POOL_CLASSES) return NULL;
    pool_block *block = pool.free_blocks[class];
    if (block) {
        pool.free_blocks[class] = block->next;
        pool.cached -= rounded;
        pool.hits++;
    } else {
        size_t alignment = rounded >= ((size_t)4 << 20) ? (size_t)2 << 20 : 64;
        void *fresh = NULL;
        if (posix_memalign(&fresh, alignment, rounded)) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (alignment > 64) madvise(fresh, rounded, MADV_HUGEPAGE);
#endif
        block = fresh;
        pool.misses++;
    }
    pool.in_use += rounded;
    return block;
}

static void *pool_calloc(void *context, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) return NULL;
    void *block = pool_malloc(context, count * size);
    return block ? memset(block, 0, count * size) : NULL;
}

static void pool_free(void *context, void *pointer, size_t size) {
    (void)context;
    if (!pointer) return;
    size_t rounded;
    int class = pool_class(size, &rounded);
    pool.in_use -= rounded;
    if (pool.cached + rounded > pool.limit) {
        free(pointer);
        return;
    }
    pool_block *block = pointer;
    block->next = pool.free_blocks[class];
    pool.free_blocks[class] = block;
    pool.cached += rounded;
}

/* The size of the old block is not known here, so an array of the pool cannot be resized. */
static void *pool_realloc(void *context, void *pointer, size_t size) {
    (void)context; (void)pointer; (void)size;
    return NULL;
}

static PyDataMem_Handler pool_handler = {
    "lucid_pool", 1, {NULL, pool_malloc, pool_calloc, pool_realloc, pool_free}};

/* Gives cached blocks back until at most `keep` bytes are held. */
static void pool_trim(size_t keep) {
    for (int class = POOL_CLASSES - 1; class >= 0 && pool.cached > keep; class--) {
        size_t block_size = ((size_t)1 << (class / 4 + 15)) + (size_t)(class % 4) * ((size_t)1 << (class / 4 + 13));
        while (pool.free_blocks[class] && pool.cached > keep) {
            pool_block *block = pool.free_blocks[class];
            pool.free_blocks[class] = block->next;
            pool.cached -= block_size;
            free(block);
        }
    }
}

#endif
