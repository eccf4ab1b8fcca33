/* each_real.h: includes the file LUCID_REAL_BODY twice, for float32 and for float64.
 *
 * In it, `real` is the type, R(f) the name of this type's (and level's) copy of f, `bits` the
 * signed integer of the same width, and LUCID_DOUBLE 0 or 1.
 * Used inside the body of each_level.h. No include guard: meant to be included once per body.
 */
#define R(name) LUCID_NAME(LUCID_JOIN(name, LUCID_REAL_SUFFIX))

#define LUCID_DOUBLE 0
#define LUCID_REAL_SUFFIX f32
#define real float
#define bits int32_t
#include LUCID_REAL_BODY
#undef LUCID_DOUBLE
#undef LUCID_REAL_SUFFIX
#undef real
#undef bits

#define LUCID_DOUBLE 1
#define LUCID_REAL_SUFFIX f64
#define real double
#define bits int64_t
#include LUCID_REAL_BODY
#undef LUCID_DOUBLE
#undef LUCID_REAL_SUFFIX
#undef real
#undef bits

#undef R
#undef LUCID_REAL_BODY
