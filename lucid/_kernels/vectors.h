/* vectors.h: what GCC's and Clang's vector extensions call by different names. */
#ifndef LUCID_VECTORS_H
#define LUCID_VECTORS_H

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Index lists pick from the n elements of x (0 .. n - 1) and of y (n .. 2 n - 1). */
#if defined(__clang__)
#define SHUFFLE(mask, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(mask, x, y, ...) __builtin_shuffle(x, y, (mask){__VA_ARGS__})
#endif

#endif
