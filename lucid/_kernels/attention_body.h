/* attention_body.h: attention at one instruction-set level; see each_level.h. */
#include "attention.h"

#define LUCID_REAL_BODY "attention_real.h"
#include "each_real.h"

static void (*const LUCID_NAME(attend)[])(void *, ptrdiff_t) = {
    LUCID_NAME(LUCID_JOIN(attend, f32)), LUCID_NAME(LUCID_JOIN(attend, f64))};
static void (*const LUCID_NAME(attend_backward)[])(void *, ptrdiff_t) = {
    LUCID_NAME(LUCID_JOIN(attend_backward, f32)), LUCID_NAME(LUCID_JOIN(attend_backward, f64))};
