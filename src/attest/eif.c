#include "attest/eif.h"

#include <zlib.h>

#include "codec/cbor.h"

#define OFFSETS_AT 28u
#define SIZES_AT 284u
#define CRC_AT 544u
#define CRC_INPUT_MAX (1u << 30) /* zlib counts in unsigned int */

static const uint8_t magic[4] = {0x2e, 0x65, 0x69, 0x66};

/* How often each type may be there; the index is the type. */
static const struct {
    const char *name;
    unsigned min, max;
} type_rule[] = {
    [CS_EIF_KERNEL] = {"kernel", 1, 1},     [CS_EIF_CMDLINE] = {"cmdline", 1, 1},
    [CS_EIF_RAMDISK] = {"ramdisk", 1, 32},  [CS_EIF_SIGNATURE] = {"signature", 0, 1},
    [CS_EIF_METADATA] = {"metadata", 0, 1},
};
#define NUM_TYPES (sizeof type_rule / sizeof *type_rule)

const char *cs_eif_type_name(cs_eif_type t)
{
    return (unsigned)t < NUM_TYPES ? type_rule[t].name : NULL;
}

static cs_err check_counts(const cs_eif *e)
{
    unsigned count[NUM_TYPES] = {0};

    for (size_t i = 0; i < e->num_sections; i++) {
        if (cs_eif_type_name(e->sections[i].type) == NULL) {
            return CS_E_EIF_SECTIONS;
        }
        count[e->sections[i].type]++;
    }
    for (size_t t = 1; t < NUM_TYPES; t++) {
        if (count[t] < type_rule[t].min || count[t] > type_rule[t].max) {
            return CS_E_EIF_SECTIONS;
        }
    }
    return CS_OK;
}

static uint32_t crc_of(uint32_t crc, const uint8_t *p, size_t len)
{
    while (len > 0) {
        uInt n = len < CRC_INPUT_MAX ? (uInt)len : CRC_INPUT_MAX;
        crc = (uint32_t)crc32(crc, p, n);
        p += n;
        len -= n;
    }
    return crc;
}

/* Everything but the four bytes of the checksum itself. */
static uint32_t file_crc(cs_slice file)
{
    uint32_t crc = crc_of(0, file.p, CRC_AT);

    return crc_of(crc, file.p + CS_EIF_HEADER_LEN, file.len - CS_EIF_HEADER_LEN);
}

/* One section at *at, which the tables of the header must name with the same offset and size. */
static cs_err parse_section(cs_eif_section *out, cs_slice file, size_t index, size_t *at)
{
    const uint64_t offset = cs_load_u64(file.p + OFFSETS_AT + 8 * index),
                   size = cs_load_u64(file.p + SIZES_AT + 8 * index);
    const uint8_t *head = file.p + *at;

    if (offset != *at) {
        return CS_E_EIF_TABLE; /* overlapping, or with a gap */
    }
    if (file.len - *at < CS_EIF_SECTION_HEADER_LEN) {
        return CS_E_EIF_TRUNCATED;
    }
    if (cs_load_u64(head + 4) != size) {
        return CS_E_EIF_TABLE;
    }
    if (size > file.len - *at - CS_EIF_SECTION_HEADER_LEN) {
        return CS_E_EIF_TRUNCATED;
    }
    if (cs_load_u16(head + 2) != 0) {
        return CS_E_EIF_FORMAT; /* flags that nobody has given a meaning */
    }
    out->type = (cs_eif_type)cs_load_u16(head);
    out->body = cs_slice_of(head + CS_EIF_SECTION_HEADER_LEN, (size_t)size);
    *at += CS_EIF_SECTION_HEADER_LEN + (size_t)size;
    return CS_OK;
}

/* What the tables say beyond the sections that exist must be nothing. */
static cs_err check_rest(const uint8_t *header, size_t num)
{
    for (size_t i = num; i < CS_EIF_MAX_SECTIONS; i++) {
        if (cs_load_u64(header + OFFSETS_AT + 8 * i) != 0 || cs_load_u64(header + SIZES_AT + 8 * i) != 0) {
            return CS_E_EIF_TABLE;
        }
    }
    return cs_load_u16(header + 24) == 0 && cs_load_u32(header + 540) == 0 ? CS_OK : CS_E_EIF_FORMAT;
}

cs_err cs_eif_parse(cs_eif *out, cs_slice file)
{
    size_t at = CS_EIF_HEADER_LEN;
    cs_eif e = {0};

    if (file.len < sizeof magic || !cs_slice_eq(cs_slice_of(file.p, 4), cs_slice_of(magic, 4))) {
        return CS_E_EIF_FORMAT;
    }
    if (file.len < CS_EIF_HEADER_LEN) {
        return CS_E_EIF_TRUNCATED;
    }
    e.version = cs_load_u16(file.p + 4);
    e.flags = cs_load_u16(file.p + 6);
    e.default_mem = cs_load_u64(file.p + 8);
    e.default_cpus = cs_load_u64(file.p + 16);
    e.num_sections = cs_load_u16(file.p + 26);
    e.crc = cs_load_u32(file.p + CRC_AT);
    if (e.version < 2 || e.version > CS_EIF_VERSION) {
        return CS_E_UNSUPPORTED; /* 1 has no checksum */
    }
    if ((e.flags & ~CS_EIF_ARM64) != 0) {
        return CS_E_EIF_FORMAT;
    }
    if (e.num_sections > CS_EIF_MAX_SECTIONS) {
        return CS_E_EIF_SECTIONS;
    }
    CS_TRY(check_rest(file.p, e.num_sections));
    for (size_t i = 0; i < e.num_sections; i++) {
        CS_TRY(parse_section(&e.sections[i], file, i, &at));
    }
    if (at != file.len) {
        return CS_E_EIF_FORMAT;
    }
    CS_TRY(check_counts(&e));
    *out = e;
    return file_crc(file) == e.crc ? CS_OK : CS_E_EIF_CRC;
}

cs_err cs_eif_measure(cs_pcr out[3], const cs_eif *eif)
{
    static const cs_pcr_section_kind kinds[] = {
        [CS_EIF_KERNEL] = CS_PCR_KERNEL, [CS_EIF_CMDLINE] = CS_PCR_CMDLINE, [CS_EIF_RAMDISK] = CS_PCR_RAMDISK};
    cs_pcr_section measured[CS_EIF_MAX_SECTIONS];
    size_t n = 0;

    for (size_t i = 0; i < eif->num_sections; i++) {
        if (eif->sections[i].type <= CS_EIF_RAMDISK) {
            measured[n++] = (cs_pcr_section){kinds[eif->sections[i].type], eif->sections[i].body};
        }
    }
    return cs_pcr_image(out, measured, n);
}

const cs_eif_section *cs_eif_find(const cs_eif *eif, cs_eif_type t)
{
    for (size_t i = 0; i < eif->num_sections; i++) {
        if (eif->sections[i].type == t) {
            return &eif->sections[i];
        }
    }
    return NULL;
}

static cs_err put_section(cs_buf *out, const cs_eif_section *s)
{
    CS_TRY(cs_put_u16(out, (uint16_t)s->type));
    CS_TRY(cs_put_u16(out, 0));
    CS_TRY(cs_put_u64(out, s->body.len));
    return cs_put_slice(out, s->body);
}

static cs_err put_file(cs_buf *out, const cs_eif *eif)
{
    const size_t start = out->len;
    uint8_t header[CS_EIF_HEADER_LEN] = {0};
    uint64_t offset = CS_EIF_HEADER_LEN;

    cs_store_u32(header, cs_load_u32(magic));
    cs_store_u16(header + 4, CS_EIF_VERSION);
    cs_store_u16(header + 6, eif->flags);
    cs_store_u64(header + 8, eif->default_mem);
    cs_store_u64(header + 16, eif->default_cpus);
    cs_store_u16(header + 26, (uint16_t)eif->num_sections);
    for (size_t i = 0; i < eif->num_sections; i++) {
        cs_store_u64(header + OFFSETS_AT + 8 * i, offset);
        cs_store_u64(header + SIZES_AT + 8 * i, eif->sections[i].body.len);
        offset += CS_EIF_SECTION_HEADER_LEN + eif->sections[i].body.len;
    }
    CS_TRY(cs_put(out, header, sizeof header));
    for (size_t i = 0; i < eif->num_sections; i++) {
        CS_TRY(put_section(out, &eif->sections[i]));
    }
    cs_store_u32(out->p + start + CRC_AT, file_crc(cs_slice_of(out->p + start, out->len - start)));
    return CS_OK;
}

cs_err cs_eif_write(cs_buf *out, const cs_eif *eif)
{
    const size_t before = out->len;
    cs_err err;

    if ((eif->flags & ~CS_EIF_ARM64) != 0) {
        return CS_E_EIF_FORMAT;
    }
    if (eif->num_sections > CS_EIF_MAX_SECTIONS) {
        return CS_E_EIF_SECTIONS;
    }
    CS_TRY(check_counts(eif));
    err = put_file(out, eif);
    if (err != CS_OK) {
        out->len = before;
    }
    return err;
}

/* A byte string, or the array of integers that serde makes of one. */
static cs_err read_bytes(cs_slice *out, cs_buf *mem, cs_cbor *c)
{
    const size_t start = mem->len;
    cs_cbor_iter it;

    if (cs_cbor_peek(c) == CS_CBOR_BYTES) {
        CS_TRY(cs_cbor_bytes_copy(c, mem));
    } else {
        CS_TRY(cs_cbor_array(c, &it));
        while (cs_cbor_more(c, &it)) {
            uint64_t v = 0;
            CS_TRY(cs_cbor_uint(c, &v));
            if (v > 255) {
                return CS_E_EIF_FORMAT;
            }
            CS_TRY(cs_put_u8(mem, (uint8_t)v));
        }
    }
    *out = cs_slice_of(NULL, mem->len - start); /* mem may move: the caller sets the pointer */
    return CS_OK;
}

static cs_err read_entry(cs_eif_signature *out, cs_buf *mem, cs_cbor *c)
{
    const size_t start = mem->len;
    cs_cbor_iter fields;
    cs_slice name;

    CS_TRY(cs_cbor_map(c, &fields));
    if (!cs_cbor_more(c, &fields)) {
        return CS_E_EIF_FORMAT;
    }
    CS_TRY(cs_cbor_text(c, &name));
    if (!cs_slice_eq_str(name, "signing_certificate")) {
        return CS_E_EIF_FORMAT;
    }
    CS_TRY(read_bytes(&out->certificate_pem, mem, c));
    if (!cs_cbor_more(c, &fields)) {
        return CS_E_EIF_FORMAT;
    }
    CS_TRY(cs_cbor_text(c, &name));
    if (!cs_slice_eq_str(name, "signature")) {
        return CS_E_EIF_FORMAT;
    }
    CS_TRY(read_bytes(&out->cose, mem, c));
    if (cs_cbor_more(c, &fields)) {
        return CS_E_EIF_FORMAT;
    }
    out->certificate_pem.p = mem->p + start;
    out->cose.p = mem->p + start + out->certificate_pem.len;
    return CS_OK;
}

cs_err cs_eif_signature_parse(cs_eif_signature *out, cs_buf *mem, cs_slice section)
{
    cs_cbor c = cs_cbor_of(section, CS_CBOR_STRICT);
    cs_eif_signature s = {{0}, {0}};
    cs_cbor_iter entries;
    cs_err err = cs_cbor_array(&c, &entries);

    if (err == CS_OK && !cs_cbor_more(&c, &entries)) {
        err = CS_E_EIF_FORMAT;
    }
    if (err == CS_OK) {
        err = read_entry(&s, mem, &c);
    }
    if (err == CS_OK && cs_cbor_more(&c, &entries)) {
        err = CS_E_EIF_FORMAT;
    }
    if (err == CS_OK) {
        err = cs_cbor_end(&c);
    }
    if (err == CS_OK) {
        *out = s;
    }
    return err == CS_E_FORMAT ? CS_E_EIF_FORMAT : err;
}
