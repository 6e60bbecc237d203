/* json: JSONTestSuite's test_parsing through the strict reader of the share-file parser. */
#include <string.h>

#include "codec/json.h"
#include "suite.h"

void cs_suite_json_parsing(cs_suite *s, const char *dir);

static void one_file(cs_suite *s, const char *path, void *cookie)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    cs_buf text = {0};
    if (strlen(name) < 2 || name[1] != '_' || strchr("yni", name[0]) == NULL) {
        cs_suite_skip(s, "no test_parsing file");
        return;
    }
    if (cs_suite_read(path, &text) != CS_OK) {
        cs_suite_fail(s, path, "cannot be read");
        return;
    }
    cs_json j = cs_json_of(cs_buf_slice(&text));
    bool accepted = cs_json_skip(&j) == CS_OK && cs_json_end(&j) == CS_OK;
    /* i_: either answer is right as long as there is one */
    cs_suite_check(s, name[0] == 'i' || accepted == (name[0] == 'y'), path, accepted ? "accepted" : "refused");
    cs_buf_free(&text);
}

void cs_suite_json_parsing(cs_suite *s, const char *dir)
{
    cs_suite_walk(s, dir, ".json", one_file, NULL);
}
