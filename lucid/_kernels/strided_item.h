/* strided_item.h: the loops of strided.h over a block of elements of SIZE bytes, of type `item`. */

#define AT(place) (*(item *)(place))
#define FROM(place) (*(const item *)(place))

#define EACH(out_step, x_step)                                                                     \
    for (Py_ssize_t i = 0; i < count; i++) AT(out + i * (out_step)) = FROM(x + i * (x_step))

/* One line: with a step that the compiler knows, a loop takes half the time or less. */
static inline void ITEM(copy_line)(char *out, Py_ssize_t out_step, const char *x, Py_ssize_t x_step,
                                   Py_ssize_t count) {
    if (out_step != SIZE) {
        if (x_step == SIZE) EACH(out_step, SIZE);
        else EACH(out_step, x_step);
    } else if (x_step == SIZE) {
        memcpy(out, x, count * SIZE);
    } else if (x_step == 0) {
        const item value = FROM(x);
        for (Py_ssize_t i = 0; i < count; i++) AT(out + i * SIZE) = value;
    } else if (x_step == 2 * SIZE) {
        EACH(SIZE, 2 * SIZE);
    } else if (x_step == -SIZE) {
        EACH(SIZE, -SIZE);
    } else {
        EACH(SIZE, x_step);
    }
}

static void ITEM(copy_lines)(char *out, const char *x, Py_ssize_t rows, Py_ssize_t columns,
                             const strided_axis *row, const strided_axis *column) {
    const int runs = column->out == SIZE && column->x == SIZE && columns >= STRIDED_RUN;
    if (rows > columns && !runs) /* the long axis inside */
        for (; columns--; out += column->out, x += column->x)
            ITEM(copy_line)(out, row->out, x, row->x, rows);
    else
        for (; rows--; out += row->out, x += row->x)
            ITEM(copy_line)(out, column->out, x, column->x, columns);
}

/* Through a buffer: lines that are a power of two apart would drive each other out of the cache
 * before they are full. */
static void ITEM(copy_transposed)(char *out, const char *x, Py_ssize_t rows, Py_ssize_t columns,
                                  const strided_axis *row, const strided_axis *column) {
    item buffer[STRIDED_BLOCK / SIZE];
    Py_ssize_t j = 0;
#if SIZE == 4 || SIZE == 8
    if (row->x == SIZE)
        for (; j + LANES <= columns; j += LANES) {
            const char *from = x + j * column->x;
            item *to = buffer + j;
            Py_ssize_t i = 0;
            for (; i + LANES <= rows; i += LANES, from += 16, to += LANES * columns)
                ITEM(transpose)(to, columns, from, column->x);
            for (; i < rows; i++, from += SIZE, to += columns)
                for (int k = 0; k < LANES; k++) to[k] = FROM(from + k * column->x);
        }
#endif
    for (; j < columns; j++) {
        const char *from = x + j * column->x;
        for (Py_ssize_t i = 0; i < rows; i++) buffer[i * columns + j] = FROM(from + i * row->x);
    }
    for (Py_ssize_t i = 0; i < rows; i++, out += row->out)
        ITEM(copy_line)(out, column->out, (const char *)(buffer + i * columns), SIZE, columns);
}

/* Every second element of a target that is zero: what lies between is written as well, which needs
 * no masks. */
static void ITEM(spread_lines)(char *out, const char *x, Py_ssize_t rows, Py_ssize_t columns,
                               const strided_axis *row, const strided_axis *column) {
    (void)column;
    for (; rows--; out += row->out, x += row->x) {
        item *restrict to = (item *)out;
        const item *restrict from = (const item *)x;
        for (Py_ssize_t i = 0; i < columns - 1; i++) {
            to[2 * i] = from[i];
            to[2 * i + 1] = (item){0};
        }
        to[2 * columns - 2] = from[columns - 1];
    }
}

#undef EACH
#undef AT
#undef FROM
