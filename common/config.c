/* config.c - the schema of config files, and its YAML reader. */
#include "common/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/json.h"
#include "common/kind.h"
#include "common/text.h"

struct pf_config pf_conf = {
    .model = {.view_num = 16, .image_size = 256, .time_embed_dim = 256, .scale_factor = 0.18215,
              .parameterization = "eps"},
    .clip = {.image_size = 224, .patch_size = 14, .width = 1024, .layers = 24, .heads = 16,
             .output_dim = 768, .elevation = -1},
    .vae = {.ch = 128, .ch_mult = {1, 2, 4, 4}, .num_res_blocks = 2, .z_channels = 4},
    .volume = {.dims = {64, 128, 256, 512}, .spatial_size = 32, .spatial_length = 0.5,
               .frustum_depth = 48, .frustum_length = 0.86603, .target_dim = 16},
    .unet = {.in_channels = 8, .out_channels = 4, .model_channels = 320,
             .channel_mult = {1, 2, 4, 4}, .num_res_blocks = 2, .attention_resolutions = {4, 2, 1},
             .num_heads = 8, .context_dim = 768, .volume_dims = {64, 128, 256, 512}},
    .sampler = {.name = "ddim", .timesteps = "even", .steps = 50, .eta = 1.0, .cfg_scale = 2.0,
                .sample_num = 1, .batch_view_num = 16},
    .mask = {.method = "auto", .threshold = 0.97, .open = 0, .close = 1, .soft = 1.5},
    .neus = {.method = "neus", .field = "hash", .steps = 1000, .warm_up = 50, .batch_rays = 512,
             .foreground_rays = 512, .lr = 1e-2, .lr_end = 0.05, .lambda_rgb = 1.0,
             .lambda_mask = 1.0, .lambda_eikonal = 0.1, .bound = 0.6, .anneal_steps = 600,
             .sdf_width = 256, .sdf_layers = 8, .sdf_frequencies = 6, .feature_dim = 256,
             .color_width = 256, .color_layers = 4, .color_frequencies = 4,
             .coarse_samples = 64, .fine_samples = 64, .fine_rounds = 4,
             .levels = 10, .level_features = 2, .log2_table = 15, .base_resolution = 8,
             .max_resolution = 160, .hidden = 64, .color_hidden = 32, .geo_features = 13,
             .init_radius = 0.2, .start_levels = 4, .level_steps = 80,
             .occupancy_resolution = 64, .ray_samples = 32, .lambda_area = 0.0027,
             .area_points = 2048, .lr_variance = 0.3, .lr_tone = 0, .view_start = 700},
    .nerf = {.steps = 2000, .warm_up = 100, .batch_rays = 40960, .lr = 1e-2, .lr_end = 0.02,
             .lambda_rgb = 0.5, .lambda_mask = 10.0, .bound = 0.6, .levels = 16,
             .level_features = 2, .log2_table = 19, .base_resolution = 16, .max_resolution = 128,
             .hidden = 64, .color_hidden = 64, .geo_features = 15, .occupancy_resolution = 128,
             .ray_samples = 1024},
    .mesh = {.resolution = 512, .format = "auto"},
    .video = {.frames = 180, .fps = 30, .size = 256},
};

enum type { INT, REAL, TEXT };
struct entry {
    const char *section, *key;
    enum type type;
    size_t offset;
    int count;                  /* a list of so many; 0: one value */
    double lo, hi;
    const char *choices;
};
#define AT(s, k) offsetof(struct pf_config, s.k)
#define I(s, k, lo, hi) {#s, #k, INT, AT(s, k), 0, lo, hi, 0}
#define L(s, k, n, lo, hi) {#s, #k, INT, AT(s, k), n, lo, hi, 0}
#define R(s, k, lo, hi) {#s, #k, REAL, AT(s, k), 0, lo, hi, 0}
#define T(s, k, choices) {#s, #k, TEXT, AT(s, k), 0, 0, 0, choices}

#define OR(name) "|" #name

/* Upper bounds keep every product of sizes far inside 63 bits; they are not advice. */
static const struct entry schema[] = {
    I(model, view_num, 1, 256), I(model, image_size, 16, 4096), I(model, time_embed_dim, 2, 65536),
    R(model, scale_factor, 1e-6, 1e6), T(model, parameterization, "eps|v"),
    I(clip, image_size, 1, 4096), I(clip, patch_size, 1, 4096), I(clip, width, 1, 65536),
    I(clip, layers, 1, 1024), I(clip, heads, 1, 1024), I(clip, output_dim, 1, 65536),
    I(clip, elevation, -1, 65534),
    I(vae, ch, 1, 65536), L(vae, ch_mult, 4, 1, 64), I(vae, num_res_blocks, 1, 64),
    I(vae, z_channels, 1, 64),
    L(volume, dims, 4, 1, 65536), I(volume, spatial_size, 2, 512),
    R(volume, spatial_length, 1e-3, 1e3), I(volume, frustum_depth, 2, 1024),
    R(volume, frustum_length, 1e-3, 1.49), I(volume, target_dim, 1, 65536),
    I(unet, in_channels, 1, 1024), I(unet, out_channels, 1, 1024),
    I(unet, model_channels, 1, 65536), L(unet, channel_mult, 4, 1, 64),
    I(unet, num_res_blocks, 1, 64), L(unet, attention_resolutions, 3, 1, 8),
    I(unet, num_heads, 1, 1024), I(unet, context_dim, 1, 65536), L(unet, volume_dims, 4, 1, 65536),
    T(sampler, name, "ddim|dpmpp-2m|unipc"), T(sampler, timesteps, "even|original|trailing"),
    I(sampler, steps, 1, 1000), R(sampler, eta, 0, 1),
    R(sampler, cfg_scale, 0, 100), I(sampler, sample_num, 1, 10000),
    I(sampler, batch_view_num, 1, 256),
    T(mask, method, "auto|alpha|white|net"), R(mask, threshold, 0, 1),
    I(mask, open, 0, 64), I(mask, close, 0, 64), R(mask, soft, 0, 64),
    T(neus, method, "neus|nerf"), T(neus, field, PF_NEUS_FIELDS(OR) + 1),
    I(neus, steps, 0, 10000000), I(neus, warm_up, 0, 10000000),
    I(neus, batch_rays, 1, 1 << 20), I(neus, foreground_rays, 0, 1 << 20), R(neus, lr, 0, 1),
    R(neus, lr_end, 0, 1), R(neus, lambda_rgb, 0, 1e6), R(neus, lambda_mask, 0, 1e6),
    R(neus, lambda_eikonal, 0, 1e6), R(neus, bound, 0.05, 1.4), I(neus, anneal_steps, 0, 10000000),
    I(neus, sdf_width, 4, 4096), I(neus, sdf_layers, 2, 64), I(neus, sdf_frequencies, 0, 16),
    I(neus, feature_dim, 1, 4096), I(neus, color_width, 1, 4096), I(neus, color_layers, 1, 64),
    I(neus, color_frequencies, 0, 16), I(neus, coarse_samples, 2, 4096),
    I(neus, fine_samples, 0, 4096), I(neus, fine_rounds, 1, 64), I(neus, levels, 1, 32),
    I(neus, level_features, 1, 8), I(neus, log2_table, 4, 24), I(neus, base_resolution, 2, 1024),
    I(neus, max_resolution, 2, 16384), I(neus, hidden, 1, 1024), I(neus, color_hidden, 1, 1024),
    I(neus, geo_features, 1, 256), R(neus, init_radius, 0.01, 10), I(neus, start_levels, 1, 32),
    I(neus, level_steps, 1, 10000000), I(neus, occupancy_resolution, 4, 512),
    I(neus, ray_samples, 2, 4096), R(neus, lambda_area, 0, 1e6), I(neus, area_points, 8, 1 << 20),
    R(neus, lr_variance, 0, 1), I(neus, view_start, 0, 10000000), R(neus, lr_tone, 0, 1),
    I(nerf, steps, 0, 10000000), I(nerf, warm_up, 0, 10000000), I(nerf, batch_rays, 1, 1 << 20),
    R(nerf, lr, 0, 1), R(nerf, lr_end, 0, 1), R(nerf, lambda_rgb, 0, 1e6),
    R(nerf, lambda_mask, 0, 1e6), R(nerf, bound, 0.05, 1.4), I(nerf, levels, 1, 16),
    I(nerf, level_features, 1, 8), I(nerf, log2_table, 8, 24), I(nerf, base_resolution, 2, 1024),
    I(nerf, max_resolution, 2, 8192), I(nerf, hidden, 16, 1024), I(nerf, color_hidden, 16, 1024),
    I(nerf, geo_features, 1, 256), I(nerf, occupancy_resolution, 4, 512),
    I(nerf, ray_samples, 2, 4096),
    I(mesh, resolution, 8, 2048), T(mesh, format, "auto|ply|obj|glb|stl"),
    I(video, frames, 1, 100000), I(video, fps, 1, 240), I(video, size, 16, 4096),
};
enum { ENTRIES = sizeof schema / sizeof *schema };

/* A config has two levels and lists; whoever nests deeper, or writes more than any person would,
 * makes libyaml take a time that grows with the square. */
enum { MAX_BYTES = 1 << 16, MAX_DEPTH = 8 };

struct reader {
    struct pf_config *conf;
    const char *path;
    unsigned char text[MAX_BYTES + 1];
    size_t size;
    yaml_document_t doc;
};

/* Put the file and the line of the node in front of the sentence. */
static pf_err
at(const struct reader *r, const yaml_node_t *node, pf_err err)
{
    return pf_fail_in(err, "%s:%d", r->path, (int)node->start_mark.line + 1);
}

static const char *
word_of(const yaml_node_t *key)
{
    return key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "?";
}

/* The word that node holds is no key of that section, or no section for NULL. */
static pf_err
unknown(const struct reader *r, const yaml_node_t *node, const char *section)
{
    const char *names[ENTRIES], *near, *word = word_of(node);
    int n = 0;

    for (int i = 0; i < ENTRIES; i++) {
        const char *name = section ? schema[i].key : schema[i].section;
        if ((!section || strcmp(section, schema[i].section) == 0) &&
            (!n || strcmp(names[n - 1], name) != 0))
            names[n++] = name;
    }
    near = pf_nearest(word, names, n);
    if (!strcmp(word, "<<"))
        return at(r, node, pf_fail(PF_EFORMAT,
                                   "merge keys (<<) are not read: write the keys themselves"));
    return at(r, node, pf_fail(PF_EFORMAT, "there is no %s \"%s\"%s%s%s%s%s",
                               section ? "key" : "section", word, section ? " in " : "",
                               section ? section : "", near ? "; did you mean " : "",
                               near ? near : "", near ? "?" : ""));
}

/* Store the text of an entry, which is one of its choices.  It is kept for the life of the program,
 * each choice once. */
static pf_err
store_text(const char **to, const struct entry *e, const char *text)
{
    enum { MAX_KEPT = 64 };             /* more than there are choices */
    static const char *kept[MAX_KEPT];
    int i = 0;

    if (!pf_is_choice(text, e->choices))
        return pf_fail(PF_EFORMAT, "%s.%s is one of %s, not \"%s\"", e->section, e->key,
                       e->choices, text);
    while (i < MAX_KEPT && kept[i] && strcmp(kept[i], text))
        i++;
    if (i == MAX_KEPT || (!kept[i] && !(kept[i] = strdup(text))))
        return pf_fail(PF_ENOMEM, "no memory");
    *to = kept[i];
    return PF_OK;
}

/* Store a scalar as number i of an entry. */
static pf_err
store(struct pf_config *conf, const struct entry *e, int i, const yaml_node_t *node)
{
    void *to = (char *)conf + e->offset;
    char lo[PF_NUMBER], hi[PF_NUMBER];
    double real = 0;
    int64_t whole = 0;

    if (node->type != YAML_SCALAR_NODE)
        return pf_fail(PF_EFORMAT, "%s.%s needs %s", e->section, e->key,
                       e->type == TEXT ? "a word" : "a number");
    const char *text = word_of(node);
    if (e->type == TEXT)
        return store_text(to, e, text);
    if (e->type == INT ? !pf_parse_int(&whole, text) : !pf_parse_real(&real, text))
        return pf_fail(PF_EFORMAT, "%s.%s needs a %snumber, not \"%s\"", e->section, e->key,
                       e->type == INT ? "whole " : "", text);
    if (e->type == INT)
        real = (double)whole;
    if (!(real >= e->lo && real <= e->hi))
        return pf_fail(PF_EFORMAT, "%s.%s is %s, expected %s to %s", e->section, e->key, text,
                       pf_number_text(lo, e->lo), pf_number_text(hi, e->hi));
    if (e->type == INT)
        ((int *)to)[i] = (int)whole;
    else
        *(double *)to = real;
    return PF_OK;
}

static pf_err
read_entry(struct reader *r, const struct entry *e, const yaml_node_t *node)
{
    const yaml_node_item_t *item = node->data.sequence.items.start;
    pf_err err;

    if (e->count && (node->type != YAML_SEQUENCE_NODE ||
                     node->data.sequence.items.top - item != e->count))
        return at(r, node, pf_fail(PF_EFORMAT, "%s.%s needs a list of %d numbers", e->section,
                                   e->key, e->count));
    for (int i = 0; i < e->count || i == 0; i++) {
        const yaml_node_t *v = e->count ? yaml_document_get_node(&r->doc, item[i]) : node;
        if ((err = store(r->conf, e, i, v)))
            return at(r, v, err);
    }
    return PF_OK;
}

static pf_err
read_section(struct reader *r, const char *section, const yaml_node_t *map)
{
    bool seen[ENTRIES] = {0};

    if (map->type != YAML_MAPPING_NODE)
        return at(r, map, pf_fail(PF_EFORMAT, "section %s needs \"key: value\" lines", section));
    const yaml_node_pair_t *const end = map->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < end; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
        const char *word = word_of(key);
        int i = 0;
        while (i < ENTRIES && (strcmp(schema[i].section, section) || strcmp(schema[i].key, word)))
            i++;
        if (i == ENTRIES)
            return unknown(r, key, section);
        if (seen[i])
            return at(r, key, pf_fail(PF_EFORMAT, "%s.%s is given twice", section, word));
        seen[i] = true;
        PF_TRY(read_entry(r, &schema[i], yaml_document_get_node(&r->doc, p->value)));
    }
    return PF_OK;
}

static pf_err
read_document(struct reader *r)
{
    const yaml_node_t *root = yaml_document_get_root_node(&r->doc);

    if (!root)
        return PF_OK;                           /* an empty file changes nothing */
    if (root->type != YAML_MAPPING_NODE)
        return at(r, root, pf_fail(PF_EFORMAT, "expected sections such as \"model:\""));
    const yaml_node_pair_t *const end = root->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < end; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
        int i = 0;
        while (i < ENTRIES && strcmp(schema[i].section, word_of(key)) != 0)
            i++;
        if (i == ENTRIES)
            return unknown(r, key, NULL);
        for (const yaml_node_pair_t *q = root->data.mapping.pairs.start; q < p; q++)
            if (!strcmp(word_of(yaml_document_get_node(&r->doc, q->key)), word_of(key)))
                return at(r, key, pf_fail(PF_EFORMAT, "section %s is given twice", word_of(key)));
        PF_TRY(read_section(r, schema[i].section, yaml_document_get_node(&r->doc, p->value)));
    }
    return PF_OK;
}

/* What the parser could not read, or that it has no memory. */
static pf_err
not_parsed(const char *path, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return pf_fail(PF_ENOMEM, "%s: no memory", path);
    return pf_fail(PF_EFORMAT, "%s:%zu: %s", path, parser->problem_mark.line + 1,
                   parser->problem ? parser->problem : "not readable as YAML");
}

/* Nothing is nested deeper than a config can be.  What is wrong otherwise is said by whoever reads
 * it. */
static pf_err
check_depth(struct reader *r, yaml_parser_t *parser)
{
    yaml_event_t event;
    yaml_event_type_t type = YAML_NO_EVENT;

    for (int depth = 0; type != YAML_STREAM_END_EVENT && yaml_parser_parse(parser, &event);) {
        const size_t line = event.start_mark.line + 1;
        type = event.type;
        yaml_event_delete(&event);
        depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
        depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
        if (depth > MAX_DEPTH)
            return pf_fail(PF_EFORMAT, "%s:%zu: nested deeper than a config can be", r->path, line);
    }
    return PF_OK;
}

static pf_err
read_settings(struct reader *r, yaml_parser_t *parser)
{
    const yaml_node_t *root;
    pf_err err;

    if (!yaml_parser_load(parser, &r->doc))
        return not_parsed(r->path, parser);
    err = read_document(r);
    yaml_document_delete(&r->doc);
    if (err)
        return err;
    if (!yaml_parser_load(parser, &r->doc))
        return not_parsed(r->path, parser);
    if ((root = yaml_document_get_root_node(&r->doc)))
        err = at(r, root, pf_fail(PF_EFORMAT,
                                  "a second document begins here, and a config file is one"));
    yaml_document_delete(&r->doc);
    return err;
}

/* What the file is that could not be read as a config, if that is known. */
static pf_err
other_kind(pf_err err, const struct reader *r)
{
    const struct pf_kind *const kind = pf_kind_of(r->text, r->size);
    if (!kind || kind->json)                    /* JSON is YAML too */
        return err;
    return pf_fail_in(pf_kind_fail(kind, "a config file"), "%s", r->path);
}

/* Give the whole text to one of the above. */
static pf_err
parse(struct reader *r, pf_err (*read)(struct reader *r, yaml_parser_t *parser))
{
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser))
        return pf_fail(PF_ENOMEM, "%s: no memory", r->path);
    yaml_parser_set_input_string(&parser, r->text, r->size);
    const pf_err err = read(r, &parser);
    yaml_parser_delete(&parser);
    return err;
}

static pf_err
read_file(struct reader *r)
{
    FILE *const file = fopen(r->path, "rb");
    if (!file)
        return pf_fail(PF_EIO, "cannot read %s: %s", r->path, strerror(errno));
    r->size = fread(r->text, 1, sizeof r->text, file);
    const pf_err err = ferror(file) ? pf_fail(PF_EIO, "cannot read %s: %s", r->path,
                                              strerror(errno)) : PF_OK;
    fclose(file);
    return err;
}

pf_err
pf_config_load(struct pf_config *conf, const char *path)
{
    struct reader r = {.conf = conf, .path = path};
    pf_err err;

    PF_TRY(read_file(&r));
    if (r.size > MAX_BYTES)
        err = pf_fail(PF_EFORMAT, "%s: a config has at most %d bytes", path, (int)MAX_BYTES);
    else if (!(err = parse(&r, check_depth)))
        err = parse(&r, read_settings);
    return err == PF_EFORMAT ? other_kind(err, &r) : err;
}

/* ---- what a run was made with ---- */

static json_t *
number_or_word(const struct pf_config *conf, const struct entry *e, int i)
{
    const char *const at = (const char *)conf + e->offset;
    switch (e->type) {
    case INT: return json_integer(((const int *)(const void *)at)[i]);
    case REAL: return json_real(*(const double *)(const void *)at);
    default: return json_string(*(const char *const *)(const void *)at);
    }
}

static json_t *
value_of(const struct pf_config *conf, const struct entry *e)
{
    if (!e->count)
        return number_or_word(conf, e, 0);
    json_t *list = json_array();
    for (int i = 0; i < e->count; i++)
        if (json_array_append_new(list, number_or_word(conf, e, i)))
            return json_decref(list), NULL;
    return list;
}

char *
pf_config_section(const struct pf_config *conf, const char *section)
{
    json_t *all = json_object();
    int bad = 0;
    for (const struct entry *e = schema; e < schema + ENTRIES; e++)
        if (strcmp(e->section, section) == 0)
            bad |= json_object_set_new(all, e->key, value_of(conf, e));
    char *text = bad ? NULL : pf_json_text(all, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(all);
    return text;
}

/* Append "neus.steps 6" to a list of words; one that is full stays as it is. */
static void
append_setting(char *words, size_t size, const struct entry *e, const json_t *v)
{
    const size_t n = strlen(words);
    char *text = pf_json_text(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    snprintf(words + n, size - n, "%s%s.%s %s", n ? ", " : "", e->section, e->key,
             text ? text : "?");
    free(text);
}

pf_err
pf_config_compare(char *was, char *is, size_t size, const struct pf_config *conf,
                  const char *section, const char *text)
{
    json_t *old = json_loads(text, 0, NULL);

    *was = *is = 0;
    if (!json_is_object(old)) {
        json_decref(old);
        return pf_fail(PF_EFORMAT, "the settings of %s are no JSON object", section);
    }
    for (const struct entry *e = schema; e < schema + ENTRIES; e++) {
        const json_t *then = json_object_get(old, e->key);
        if (strcmp(e->section, section) || !then)
            continue;
        json_t *now = value_of(conf, e);
        if (!json_equal(then, now)) {
            append_setting(was, size, e, then);
            append_setting(is, size, e, now);
        }
        json_decref(now);
    }
    json_decref(old);
    return PF_OK;
}
