/*
 * Published key policies (vectors/kms-policies): every clear hole is reported with one of its reasons, every tight file gives
 * none; an arguable verdict never fails.
 */
#include <string.h>

#include "suite.h"
#include "tools/policy_lint.h"

void cs_suite_kms_policies(cs_suite *s, const char *dir);

static bool reported(const cs_plint *l, const json_t *reasons)
{
    for (size_t i = 0; i < l->num; i++) {
        for (size_t k = 0; l->found[i].hole && k < json_array_size(reasons); k++) {
            const char *reason = json_string_value(json_array_get(reasons, k));
            if (reason != NULL && strcmp(reason, l->found[i].code) == 0) {
                return true;
            }
        }
    }
    return false;
}

static void one_file(cs_suite *s, const char *path, const json_t *want)
{
    static cs_plint l;
    cs_buf text = {0};
    bool hole = strcmp(cs_suite_str(want, "verdict"), "hole") == 0;

    if (cs_suite_read(path, &text) != CS_OK || cs_policy_lint(&l, cs_buf_slice(&text)) != CS_OK) {
        cs_suite_fail(s, path, "cannot be read as a policy");
    } else if (strcmp(cs_suite_str(want, "certainty"), "arguable") == 0) {
        cs_suite_pass(s);
    } else {
        cs_suite_check(s, hole ? reported(&l, json_object_get(want, "reasons")) : l.holes == 0, path,
                       hole ? "hole not named" : "tight, but a hole is reported");
    }
    cs_buf_free(&text);
}

void cs_suite_kms_policies(cs_suite *s, const char *dir)
{
    char path[CS_SUITE_PATH];
    const char *name;
    json_t *want;

    cs_suite_path(path, dir, "expected.json");
    json_t *all = cs_suite_json(s, path);
    json_object_foreach(all, name, want)
    {
        cs_suite_path(path, dir, name);
        one_file(s, path, want);
    }
    json_decref(all);
    cs_suite_looked_at(path);
}
