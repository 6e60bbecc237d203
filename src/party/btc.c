#include "party/btc.h"

#include <string.h>

#include "secret/th.h"

/* CompactSize, in its shortest form */
static cs_err read_size(cs_reader *r, uint64_t *out)
{
    uint8_t first, b[8] = {0};
    CS_TRY(cs_read_u8(r, &first));
    size_t n = first < 0xfd ? 0 : (size_t)2 << (first - 0xfd);
    uint64_t v = first;
    if (n > 0) {
        CS_TRY(cs_read_bytes(r, b, n));
        v = 0;
        for (size_t i = n; i-- > 0;) {
            v = v << 8 | b[i];
        }
        if (v < 0xfd || (n == 4 && v <= 0xffff) || (n == 8 && v <= 0xffffffffu)) {
            return CS_E_FORMAT;
        }
    }
    *out = v;
    return CS_OK;
}

static cs_err read_bytes(cs_reader *r, cs_slice *out)
{
    uint64_t len = 0;
    CS_TRY(read_size(r, &len));
    return len > CS_BTC_TX_MAX ? CS_E_FORMAT : cs_read_slice(r, out, (size_t)len);
}

static cs_err read_input(cs_reader *r, cs_slice *outpoint, cs_slice *sequence)
{
    cs_slice script;
    CS_TRY(cs_read_slice(r, outpoint, 36));
    CS_TRY(read_bytes(r, &script));
    return cs_read_slice(r, sequence, 4);
}

/* all of it: value and script with their encoding */
static cs_err read_output(cs_reader *r, cs_slice *whole)
{
    const uint8_t *start = r->p;
    cs_slice part;
    CS_TRY(cs_read_slice(r, &part, 8));
    CS_TRY(read_bytes(r, &part));
    *whole = cs_slice_of(start, (size_t)(r->p - start));
    return CS_OK;
}

cs_err cs_btc_parse(cs_btc_tx *out, cs_slice raw)
{
    cs_btc_tx tx = {{0}, {0}, {NULL, 0}, {NULL, 0}, 0, 0};
    cs_reader r = cs_reader_of(raw);
    cs_slice a, b;
    uint64_t n = 0;
    if (raw.len > CS_BTC_TX_MAX) {
        return CS_E_TOO_LARGE;
    }
    CS_TRY(cs_read_bytes(&r, tx.version, 4));
    CS_TRY(read_size(&r, &n));
    tx.inputs.p = r.p;
    if (n == 0) { /* also the marker of the form with witnesses */
        return CS_E_FORMAT;
    }
    for (uint64_t i = 0; i < n; i++) { /* each takes bytes: ends with the text */
        CS_TRY(read_input(&r, &a, &b));
    }
    tx.inputs.len = (size_t)(r.p - tx.inputs.p);
    tx.num_inputs = (uint32_t)n;
    CS_TRY(read_size(&r, &n));
    tx.outputs.p = r.p;
    for (uint64_t i = 0; i < n; i++) {
        CS_TRY(read_output(&r, &a));
    }
    tx.outputs.len = (size_t)(r.p - tx.outputs.p);
    tx.num_outputs = (uint32_t)n;
    CS_TRY(cs_read_bytes(&r, tx.lock_time, 4));
    CS_TRY(cs_read_end(&r));
    *out = tx;
    return CS_OK;
}

cs_err cs_btc_input(cs_slice *out_outpoint, cs_slice *out_sequence, const cs_btc_tx *tx, uint32_t input)
{
    cs_reader r = cs_reader_of(tx->inputs);
    if (input >= tx->num_inputs) {
        return CS_E_RANGE;
    }
    for (uint32_t i = 0; i <= input; i++) {
        CS_TRY(read_input(&r, out_outpoint, out_sequence));
    }
    return CS_OK;
}

static cs_err one_output(cs_slice *out, const cs_btc_tx *tx, uint32_t number)
{
    cs_reader r = cs_reader_of(tx->outputs);
    if (number >= tx->num_outputs) {
        return CS_E_RANGE;
    }
    for (uint32_t i = 0; i <= number; i++) {
        CS_TRY(read_output(&r, out));
    }
    return CS_OK;
}

static void put_le(cs_sha256 *s, uint64_t v, size_t len)
{
    uint8_t b[8];
    for (size_t i = 0; i < len; i++) {
        b[i] = (uint8_t)(v >> (8 * i));
    }
    cs_sha256_put(s, b, len);
}

static void put_script(cs_sha256 *s, cs_slice script)
{
    uint8_t head = script.len < 0xfd ? (uint8_t)script.len : script.len <= 0xffff ? 0xfd : 0xfe;
    cs_sha256_put(s, &head, 1);
    if (head >= 0xfd) {
        put_le(s, script.len, head == 0xfd ? 2 : 4);
    }
    cs_sha256_put(s, script.p, script.len);
}

/* SHA-256 of all outpoints, or of all sequences */
static cs_err inputs_hash(uint8_t out32[32], const cs_btc_tx *tx, bool sequences)
{
    cs_reader r = cs_reader_of(tx->inputs);
    cs_slice outpoint, sequence;
    cs_sha256 s;
    cs_sha256_init(&s);
    for (uint32_t i = 0; i < tx->num_inputs; i++) {
        CS_TRY(read_input(&r, &outpoint, &sequence));
        cs_sha256_put(&s, sequences ? sequence.p : outpoint.p, sequences ? 4 : 36);
    }
    cs_sha256_end(&s, out32);
    return CS_OK;
}

static void slice_hash(uint8_t out32[32], cs_slice data)
{
    cs_sha256 s;
    cs_sha256_init(&s);
    cs_sha256_put(&s, data.p, data.len);
    cs_sha256_end(&s, out32);
}

static void hash_again(uint8_t h[32])
{
    slice_hash(h, cs_slice_of(h, 32));
}

/* the three hashes of BIP-143, zero where the type leaves them out */
static cs_err v0_hashes(uint8_t prevouts[32], uint8_t sequences[32], uint8_t outputs[32], const cs_btc_tx *tx,
                        uint32_t input, uint8_t type)
{
    uint8_t kind = type & 0x1f;
    cs_slice single;
    bool anyone = (type & CS_BTC_ANYONE) != 0;
    memset(prevouts, 0, 32);
    memset(sequences, 0, 32);
    memset(outputs, 0, 32);
    if (!anyone) {
        CS_TRY(inputs_hash(prevouts, tx, false));
        hash_again(prevouts);
    }
    if (!anyone && kind == CS_BTC_ALL) {
        CS_TRY(inputs_hash(sequences, tx, true));
        hash_again(sequences);
    }
    if (kind == CS_BTC_ALL) {
        slice_hash(outputs, tx->outputs);
        hash_again(outputs);
    } else if (kind == CS_BTC_SINGLE && one_output(&single, tx, input) == CS_OK) {
        slice_hash(outputs, single);
        hash_again(outputs);
    }
    return CS_OK;
}

static bool known_type(uint8_t type, uint8_t least)
{
    uint8_t kind = type & (uint8_t)~CS_BTC_ANYONE;
    return kind <= CS_BTC_SINGLE && kind >= least && type != CS_BTC_ANYONE;
}

cs_err cs_btc_digest_v0(uint8_t out32[32], const cs_btc_tx *tx, uint32_t input, const cs_btc_spent *script_code,
                        uint8_t hash_type)
{
    uint8_t prevouts[32], sequences[32], outputs[32];
    cs_slice outpoint, sequence;
    cs_sha256 s;
    if (!known_type(hash_type, CS_BTC_ALL)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_btc_input(&outpoint, &sequence, tx, input));
    CS_TRY(v0_hashes(prevouts, sequences, outputs, tx, input, hash_type));
    cs_sha256_init(&s);
    cs_sha256_put(&s, tx->version, 4);
    cs_sha256_put(&s, prevouts, 32);
    cs_sha256_put(&s, sequences, 32);
    cs_sha256_put(&s, outpoint.p, 36);
    put_script(&s, script_code->script);
    put_le(&s, script_code->sats, 8);
    cs_sha256_put(&s, sequence.p, 4);
    cs_sha256_put(&s, outputs, 32);
    cs_sha256_put(&s, tx->lock_time, 4);
    put_le(&s, hash_type, 4);
    cs_sha256_end(&s, out32);
    hash_again(out32);
    return CS_OK;
}

/* SHA-256 of the values, or of the scripts, that all inputs spend */
static void spent_hash(uint8_t out32[32], const cs_btc_spent *spent, uint32_t num, bool scripts)
{
    cs_sha256 s;
    cs_sha256_init(&s);
    for (uint32_t i = 0; i < num; i++) {
        if (scripts) {
            put_script(&s, spent[i].script);
        } else {
            put_le(&s, spent[i].sats, 8);
        }
    }
    cs_sha256_end(&s, out32);
}

static cs_err put_all_inputs(cs_sha256 *s, const cs_btc_tx *tx, const cs_btc_spent *spent)
{
    uint8_t h[32];
    CS_TRY(inputs_hash(h, tx, false));
    cs_sha256_put(s, h, 32);
    spent_hash(h, spent, tx->num_inputs, false);
    cs_sha256_put(s, h, 32);
    spent_hash(h, spent, tx->num_inputs, true);
    cs_sha256_put(s, h, 32);
    CS_TRY(inputs_hash(h, tx, true));
    cs_sha256_put(s, h, 32);
    return CS_OK;
}

cs_err cs_btc_digest_key(uint8_t out32[32], const cs_btc_tx *tx, uint32_t input, const cs_btc_spent *spent,
                         uint8_t hash_type)
{
    static const uint8_t zero = 0;
    uint8_t h[32], kind = hash_type & 3;
    cs_slice outpoint, sequence, single;
    cs_sha256 s;
    if (!known_type(hash_type, CS_BTC_DEFAULT)) {
        return CS_E_RANGE;
    }
    CS_TRY(cs_btc_input(&outpoint, &sequence, tx, input));
    slice_hash(h, cs_slice_str("TapSighash"));
    cs_sha256_init(&s);
    cs_sha256_put(&s, h, 32);
    cs_sha256_put(&s, h, 32);
    cs_sha256_put(&s, &zero, 1); /* epoch */
    cs_sha256_put(&s, &hash_type, 1);
    cs_sha256_put(&s, tx->version, 4);
    cs_sha256_put(&s, tx->lock_time, 4);
    if ((hash_type & CS_BTC_ANYONE) == 0) {
        CS_TRY(put_all_inputs(&s, tx, spent));
    }
    if (kind != CS_BTC_NONE && kind != CS_BTC_SINGLE) {
        slice_hash(h, tx->outputs);
        cs_sha256_put(&s, h, 32);
    }
    cs_sha256_put(&s, &zero, 1); /* key path, no annex */
    if ((hash_type & CS_BTC_ANYONE) != 0) {
        cs_sha256_put(&s, outpoint.p, 36);
        put_le(&s, spent[input].sats, 8);
        put_script(&s, spent[input].script);
        cs_sha256_put(&s, sequence.p, 4);
    } else {
        put_le(&s, input, 4);
    }
    if (kind == CS_BTC_SINGLE) {
        CS_TRY(one_output(&single, tx, input));
        slice_hash(h, single);
        cs_sha256_put(&s, h, 32);
    }
    cs_sha256_end(&s, out32);
    return CS_OK;
}
