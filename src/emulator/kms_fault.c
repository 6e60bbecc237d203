/* See kms_fault.h. */
#include "emulator/kms_fault.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "emulator/state.h"

static const char *const names[] = {"",          "slow",  "down",        "throttle", "deny",    "internal",
                                    "no-json",   "empty", "foreign-key", "forged",   "garbled", "other-recipient",
                                    "plaintext", "both"};

typedef struct order {
    const char *fault, *operation;
    json_int_t ms, times, every;
} order;

/* Strict: what is misspelt would make a test pass that provokes nothing. */
static cs_err read_order(order *o, const json_t *file)
{
    const json_t *v;
    const char *key;
    *o = (order){.ms = 1000, .every = 1};
    json_object_foreach((json_t *)(uintptr_t)file, key, v)
    {
        if (strcmp(key, "fault") == 0 && json_is_string(v)) {
            o->fault = json_string_value(v);
        } else if (strcmp(key, "operation") == 0 && json_is_string(v)) {
            o->operation = json_string_value(v);
        } else if (strcmp(key, "milliseconds") == 0 && json_is_integer(v)) {
            o->ms = json_integer_value(v);
        } else if (strcmp(key, "times") == 0 && json_is_integer(v) && json_integer_value(v) > 0) {
            o->times = json_integer_value(v);
        } else if (strcmp(key, "every") == 0 && json_is_integer(v)) {
            o->every = json_integer_value(v);
        } else {
            return CS_E_FORMAT;
        }
    }
    return o->fault != NULL && o->ms >= 1 && o->ms <= CS_EMU_FAULT_MAX_MS && o->every >= 1 ? CS_OK : CS_E_FORMAT;
}

static cs_err meet(cs_emu_fault *out, uint32_t *out_ms, cs_emu_fault_memory *m, const order *o)
{
    size_t i = 1, num = sizeof names / sizeof *names;
    while (i < num && strcmp(names[i], o->fault) != 0) {
        i++;
    }
    if (i == num) {
        return CS_E_FORMAT;
    }
    uint64_t nth = m->met++;
    bool now = nth % (uint64_t)o->every == (uint64_t)o->every - 1 &&
               (o->times == 0 || nth / (uint64_t)o->every < (uint64_t)o->times);
    *out = now ? (cs_emu_fault)i : CS_EMU_FAULT_NONE;
    *out_ms = *out == CS_EMU_FAULT_SLOW ? (uint32_t)o->ms : 0;
    return CS_OK;
}

cs_err cs_emu_fault_of(cs_emu_fault *out, uint32_t *out_ms, cs_emu_fault_memory *m, const char *dir, const char *op,
                       bool attested)
{
    char path[4096];
    cs_buf text = cs_buf_heap(sizeof m->text - 1);
    order o;
    *out = CS_EMU_FAULT_NONE;
    *out_ms = 0;
    (void)snprintf(path, sizeof path, "%s/kms-fault.json", dir);
    cs_err err = cs_emu_file_read(&text, path);
    if (err == CS_E_NOT_FOUND) {
        cs_buf_free(&text);
        *m = (cs_emu_fault_memory){.met = 0};
        return CS_OK;
    }
    if (err == CS_OK && !cs_slice_eq_str(cs_buf_slice(&text), m->text)) {
        *m = (cs_emu_fault_memory){.met = 0};
        memcpy(m->text, text.p, text.len);
    }
    json_t *file = err == CS_OK ? json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    err = err == CS_E_TOO_LARGE || (err == CS_OK && !json_is_object(file)) ? CS_E_FORMAT : err;
    if (err == CS_OK) {
        err = read_order(&o, file);
    }
    if (err == CS_OK &&
        (o.operation == NULL ? attested : strcmp(o.operation, "*") == 0 || strcmp(o.operation, op) == 0)) {
        err = meet(out, out_ms, m, &o);
    }
    json_decref(file);
    cs_buf_free(&text);
    return err;
}
