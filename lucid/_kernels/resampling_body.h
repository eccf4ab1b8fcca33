/* resampling_body.h: the loops of resampling.pyx for one instruction-set level (see each_level.h). */

#ifndef RESAMPLING_ONCE
#define RESAMPLING_ONCE
#include "resampling.h"
#endif

#define LUCID_REAL_BODY "resampling_real.h"
#include "each_real.h"
