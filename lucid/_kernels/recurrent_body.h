/* recurrent_body.h: the cells at one instruction-set level; see each_level.h. */
#include "recurrent.h"

#define LUCID_REAL_BODY "recurrent_real.h"
#include "each_real.h"

static const cell_table *const LUCID_NAME(cells)[] = {
    &LUCID_NAME(LUCID_JOIN(cells, f32)), &LUCID_NAME(LUCID_JOIN(cells, f64))};
