/* response_norm_body.h: the loops of response_norm.pyx for one instruction-set level (see
 * each_level.h). */
#include "response_norm.h"

#define LUCID_REAL_BODY "response_norm_real.h"
#include "each_real.h"
