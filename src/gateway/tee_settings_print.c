/* The group tee: as it is in force. See tee_settings.h. */
#include <stdio.h>
#include <string.h>

#include "gateway/tee_settings_int.h"

static const void *member_of(const cs_tee_config *c, const cs_tee_setting_row *s)
{
    return (const uint8_t *)c + s->at;
}

/* In double quotes, which YAML reads as JSON does. */
static cs_err put_quoted(cs_buf *out, const char *v)
{
    CS_TRY(cs_put_str(out, "\""));
    for (; *v != '\0'; v++) {
        CS_TRY(*v == '"' || *v == '\\' ? cs_put_fmt(out, "\\%c", *v) : cs_put_u8(out, (uint8_t)*v));
    }
    return cs_put_str(out, "\"");
}

/* scheme://user:PASSWORD@host and password=PASSWORD */
static cs_err put_masked(cs_buf *out, const char *dsn)
{
    char text[CS_TEE_PATH_MAX + 8];
    const char *host = strstr(dsn, "://"), *at = host != NULL ? strrchr(host, '@') : NULL;
    const char *colon = at != NULL ? memchr(host + 3, ':', (size_t)(at - host - 3)) : NULL;
    const char *word = strcasestr(dsn, "password=");
    if (colon != NULL) {
        (void)snprintf(text, sizeof text, "%.*s:***%s", (int)(colon - dsn), dsn, at);
    } else if (word != NULL) {
        size_t len = word[9] == '\'' ? strlen(word + 9) : strcspn(word + 9, " &");
        (void)snprintf(text, sizeof text, "%.*s***%s", (int)(word + 9 - dsn), dsn, word + 9 + len);
    } else {
        (void)snprintf(text, sizeof text, "%s", dsn);
    }
    return put_quoted(out, text);
}

static cs_err put_list(cs_buf *out, const cs_tee_config *c)
{
    CS_TRY(cs_put_str(out, "["));
    for (size_t i = 0; i < c->num_pcrs; i++) {
        CS_TRY(cs_put_str(out, i > 0 ? ", " : ""));
        CS_TRY(put_quoted(out, c->pcrs[i]));
    }
    return cs_put_str(out, "]");
}

static cs_err put_value(cs_buf *out, const cs_tee_config *c, const cs_tee_setting_row *s)
{
    const void *v = member_of(c, s);
    switch (s->kind) {
    case CS_TEE_S_BOOL:
        return cs_put_str(out, *(const bool *)v ? "true" : "false");
    case CS_TEE_S_NUMBER:
        return cs_put_fmt(out, "%llu", (unsigned long long)*(const uint64_t *)v);
    case CS_TEE_S_SIGNED:
        return cs_put_fmt(out, "%lld", (long long)*(const int64_t *)v);
    case CS_TEE_S_LIST:
        return put_list(out, c);
    case CS_TEE_S_DSN:
        return put_masked(out, v);
    default:
        return put_quoted(out, v);
    }
}

cs_err cs_tee_settings_print(cs_buf *out, const cs_tee_config *c)
{
    char group[64] = "";
    CS_TRY(cs_put_str(out, "tee:\n"));
    for (const cs_tee_setting_row *s = cs_tee_setting_rows; s->name != NULL; s++) {
        const char *name = s->name + 4, *dot = strchr(name, '.');
        if (dot != NULL && (strlen(group) != (size_t)(dot - name) || strncmp(group, name, strlen(group)) != 0)) {
            (void)snprintf(group, sizeof group, "%.*s", (int)(dot - name), name);
            CS_TRY(cs_put_fmt(out, "  %s:\n", group));
        }
        CS_TRY(cs_put_fmt(out, dot != NULL ? "    %s: " : "  %s: ", dot != NULL ? dot + 1 : name));
        CS_TRY(put_value(out, c, s));
        CS_TRY(cs_put_str(out, "\n"));
    }
    return CS_OK;
}
