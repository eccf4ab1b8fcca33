/* pause.h: tells the processor that a loop only waits for another thread. */
#ifndef LUCID_PAUSE_H
#define LUCID_PAUSE_H

static inline void lucid_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
