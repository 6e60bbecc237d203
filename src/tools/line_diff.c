/* See line_diff.h. Longest common subsequence over lines, by the table. */
#include "tools/line_diff.h"

#include <stdlib.h>
#include <string.h>

typedef struct text {
    cs_slice line[CS_DIFF_MAX_LINES];
    size_t num;
} text;

/* One line of the result: ' ', '-' or '+'. */
typedef struct step {
    char sign;
    cs_slice line;
    size_t at[2]; /* how many lines of each text came before */
} step;

typedef struct diff {
    text *t[2];
    uint16_t *lcs; /* (num + 1) x (num + 1) lengths of the rests' common subsequence */
    step *steps;
    size_t num_steps;
    bool colour;
} diff;

static cs_err split(text *t, const char *s)
{
    t->num = 0;
    while (*s != '\0') {
        size_t n = strcspn(s, "\n");
        if (t->num == CS_DIFF_MAX_LINES) {
            return CS_E_TOO_LARGE;
        }
        t->line[t->num++] = cs_slice_of(s, n);
        s += n + (s[n] == '\n' ? 1 : 0);
    }
    return CS_OK;
}

static uint16_t *cell(const diff *d, size_t i, size_t j)
{
    return &d->lcs[i * (d->t[1]->num + 1) + j];
}

static void fill(diff *d)
{
    for (size_t i = d->t[0]->num + 1; i-- > 0;) {
        for (size_t j = d->t[1]->num + 1; j-- > 0;) {
            uint16_t v = 0;
            if (i < d->t[0]->num && j < d->t[1]->num) {
                uint16_t a = *cell(d, i + 1, j), b = *cell(d, i, j + 1);
                v = cs_slice_eq(d->t[0]->line[i], d->t[1]->line[j]) ? (uint16_t)(*cell(d, i + 1, j + 1) + 1)
                    : a > b                                         ? a
                                                                    : b;
            }
            *cell(d, i, j) = v;
        }
    }
}

static void walk(diff *d)
{
    size_t i = 0, j = 0, n = d->t[0]->num, m = d->t[1]->num;

    while (i < n || j < m) {
        step *s = &d->steps[d->num_steps++];
        s->at[0] = i;
        s->at[1] = j;
        if (i < n && j < m && cs_slice_eq(d->t[0]->line[i], d->t[1]->line[j])) {
            s->sign = ' ';
            s->line = d->t[0]->line[i++];
            j++;
        } else if (j == m || (i < n && *cell(d, i + 1, j) >= *cell(d, i, j + 1))) {
            s->sign = '-';
            s->line = d->t[0]->line[i++];
        } else {
            s->sign = '+';
            s->line = d->t[1]->line[j++];
        }
    }
}

static cs_err put_line(cs_buf *out, const diff *d, const step *s)
{
    const char *on = !d->colour || s->sign == ' ' ? "" : s->sign == '-' ? "\x1b[31m" : "\x1b[32m";

    return cs_put_fmt(out, "%s%c%.*s%s\n", on, s->sign, (int)s->line.len, (const char *)s->line.p,
                      on[0] != '\0' ? "\x1b[0m" : "");
}

/* Steps from..to are one hunk. */
static cs_err put_hunk(cs_buf *out, const diff *d, size_t from, size_t to)
{
    size_t count[2] = {0, 0};

    for (size_t k = from; k < to; k++) {
        count[0] += d->steps[k].sign != '+';
        count[1] += d->steps[k].sign != '-';
    }
    size_t a = d->steps[from].at[0] + (count[0] > 0), b = d->steps[from].at[1] + (count[1] > 0);
    CS_TRY(cs_put_fmt(out, "%s@@ -%zu,%zu +%zu,%zu @@%s\n", d->colour ? "\x1b[36m" : "", a, count[0], b, count[1],
                      d->colour ? "\x1b[0m" : ""));
    for (size_t k = from; k < to; k++) {
        CS_TRY(put_line(out, d, &d->steps[k]));
    }
    return CS_OK;
}

static cs_err put_hunks(cs_buf *out, const diff *d)
{
    for (size_t k = 0; k < d->num_steps;) {
        if (d->steps[k].sign == ' ') {
            k++;
            continue;
        }
        size_t from = k > CS_DIFF_CONTEXT ? k - CS_DIFF_CONTEXT : 0, last = k, end = k;
        while (end < d->num_steps && end - last <= 2 * CS_DIFF_CONTEXT) {
            last = d->steps[end].sign != ' ' ? end : last;
            end++;
        }
        end = last + 1 + CS_DIFF_CONTEXT < d->num_steps ? last + 1 + CS_DIFF_CONTEXT : d->num_steps;
        CS_TRY(put_hunk(out, d, from, end));
        k = end;
    }
    return CS_OK;
}

static cs_err make(cs_buf *out, diff *d, const cs_diff_names *names)
{
    size_t cells = (d->t[0]->num + 1) * (d->t[1]->num + 1);
    cs_err err = CS_E_NO_MEMORY;

    d->lcs = malloc(cells * sizeof *d->lcs);
    d->steps = calloc(d->t[0]->num + d->t[1]->num + 1, sizeof *d->steps);
    if (d->lcs != NULL && d->steps != NULL) {
        fill(d);
        walk(d);
        err = cs_put_fmt(out, "--- %s\n+++ %s\n", names->before, names->after);
        err = err == CS_OK ? put_hunks(out, d) : err;
    }
    free(d->lcs);
    free(d->steps);
    return err;
}

cs_err cs_line_diff(cs_buf *out, const char *before, const char *after, const cs_diff_names *names, bool colour)
{
    diff d = {.t = {malloc(sizeof(text)), malloc(sizeof(text))}, .colour = colour};
    size_t len0 = out->len;
    cs_err err = d.t[0] == NULL || d.t[1] == NULL ? CS_E_NO_MEMORY : CS_OK;

    if (err == CS_OK && strcmp(before, after) != 0 && (err = split(d.t[0], before)) == CS_OK &&
        (err = split(d.t[1], after)) == CS_OK) {
        err = make(out, &d, names);
    }
    free(d.t[0]);
    free(d.t[1]);
    if (err != CS_OK) {
        out->len = len0;
    }
    return err;
}
