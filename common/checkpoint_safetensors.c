/* checkpoint_safetensors.c - the tensors of a mapped safetensors file (safetensors.h). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/bytes.h"
#include "common/checkpoint_parts.h"

/* pf.crc32 is a JSON object, tensor name to 8 hex digits. */
static pf_err
read_checksums(pf_checkpoint *w, const char *text)
{
    pf_err err = PF_OK;
    json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(all))
        err = pf_fail(PF_EFORMAT, "its pf.crc32 is not a JSON object");
    for (int i = 0; i < w->weights && !err; i++) {
        struct pf_weight *x = &w->weight[i];
        const json_t *crc = json_object_get(all, x->name);
        char *end = "";
        if (!crc)
            continue;
        x->has_crc = true;
        if (json_is_string(crc) && json_string_length(crc) == 8)
            x->crc = (uint32_t)strtoul(json_string_value(crc), &end, 16);
        if (!json_is_string(crc) || json_string_length(crc) != 8 || *end)
            err = pf_fail(PF_EFORMAT, "tensor %s: its pf.crc32 is not 8 hex digits", x->name);
    }
    json_decref(all);
    return err;
}

pf_err
pf_checkpoint_list_safetensors(pf_checkpoint *w)
{
    const uint64_t length = pf_little(w->bytes, 8);
    struct pf_st_header *h = &w->header;
    w->format = "safetensors";
    if (length > w->size - 8)
        return pf_fail(PF_EFORMAT,
                       "its header should have %" PRIu64 " bytes, but the file ends after %zu",
                       length, w->size - 8);
    PF_TRY(pf_st_parse_any(h, (const char *)w->bytes + 8, length));
    if (h->data_size != w->size - 8 - length)
        return pf_fail(PF_EFORMAT, "has %" PRIu64 " bytes of data, expected %" PRIu64,
                       w->size - 8 - length, h->data_size);
    for (int i = 0; i < h->entries; i++) {
        if (h->entry[i].unknown[0]) {
            char line[PF_ST_NAME_MAX + 50];
            snprintf(line, sizeof line, "%s: tensor of type %s", h->entry[i].name,
                     h->entry[i].unknown);
            PF_TRY(pf_checkpoint_skip(w, line));
            continue;
        }
        struct pf_weight *x;
        PF_TRY(pf_checkpoint_add(w, h->entry[i].name, &x));
        x->t = h->entry[i].t;
        x->block = w->bytes + 8 + length + h->entry[i].begin;
        int64_t stride = 1;
        for (int k = x->t.ndim - 1; k >= 0; k--) {
            x->stride[k] = stride;
            stride *= x->t.dim[k] ? x->t.dim[k] : 1;
        }
    }
    for (int i = 0; i < h->metas; i++)
        if (strcmp(h->meta[i].key, "pf.crc32") == 0)
            PF_TRY(read_checksums(w, h->meta[i].value));
    return PF_OK;
}
