#include "tools/pf-report/thin.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void
find_box(float low[3], float size[3], const struct pf_mesh *m)
{
    for (int k = 0; k < 3; k++) {
        float high = low[k] = m->vertex[k];
        for (int64_t v = 1; v < m->vertices; v++) {
            low[k] = fminf(low[k], m->vertex[3 * v + k]);
            high = fmaxf(high, m->vertex[3 * v + k]);
        }
        size[k] = high - low[k];
    }
}

/* ---- fewer vertices ---- */

struct clusters {
    float low[3], side;         /* of the box's longest edge */
    uint64_t *key;              /* [slots] a hash table: cell + 1, 0 where nothing is */
    uint32_t *number;           /* [slots] of the cell's vertex */
    size_t slots;               /* a power of two, twice the vertices at least */
};

static uint64_t
cell_of(const struct clusters *c, const float p[3], int grid)
{
    uint64_t cell = 0;
    for (int k = 0; k < 3; k++) {
        const int i = (int)((p[k] - c->low[k]) / c->side * (float)grid);
        cell = cell * (uint64_t)grid + (uint64_t)(i < grid ? i : grid - 1);
    }
    return cell;
}

/* Number the cells that hold vertices, in the order of their first ones; to [vertices] are the
 * numbers, or NULL.  Returns how many there are. */
static int64_t
number_cells(struct clusters *c, uint32_t *to, const struct pf_mesh *m, int grid)
{
    int64_t n = 0;
    memset(c->key, 0, c->slots * sizeof *c->key);
    for (int64_t v = 0; v < m->vertices; v++) {
        const uint64_t key = cell_of(c, m->vertex + 3 * v, grid) + 1;
        size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (c->slots - 1);
        while (c->key[i] && c->key[i] != key)
            i = (i + 1) & (c->slots - 1);
        if (!c->key[i]) {
            c->key[i] = key;
            c->number[i] = (uint32_t)n++;
        }
        if (to)
            to[v] = c->number[i];
    }
    return n;
}

/* Vertices that share a number become their mean. */
static void
join(struct pf_mesh *m, const uint32_t *number, int64_t n, float *sum)
{
    memset(sum, 0, (size_t)n * 7 * sizeof *sum);        // position, colour, how many
    for (int64_t v = 0; v < m->vertices; v++) {
        float *s = sum + 7 * (int64_t)number[v];
        for (int k = 0; k < 3; k++) {
            s[k] += m->vertex[3 * v + k];
            s[3 + k] += m->color ? m->color[3 * v + k] : 0;
        }
        s[6]++;
    }
    for (int64_t v = 0; v < n; v++)
        for (int k = 0; k < 3; k++) {
            m->vertex[3 * v + k] = sum[7 * v + k] / sum[7 * v + 6];
            if (m->color)
                m->color[3 * v + k] = (uint8_t)lrintf(sum[7 * v + 3 + k] / sum[7 * v + 6]);
        }
    m->vertices = n;
    int64_t faces = 0;
    for (int64_t f = 0; f < m->faces; f++) {
        const uint32_t a = number[m->face[3 * f]], b = number[m->face[3 * f + 1]],
                       c = number[m->face[3 * f + 2]];
        if (a == b || b == c || c == a)
            continue;
        m->face[3 * faces] = a;
        m->face[3 * faces + 1] = b;
        m->face[3 * faces++ + 2] = c;
    }
    m->faces = faces;
    free(m->normal);            // they were those of the vertices before
    m->normal = NULL;
}

/* The finest grid of at most so many cells, by halving: cells grow with the grid, nearly always. */
static int
find_grid(struct clusters *c, const struct pf_mesh *m, int64_t most)
{
    int low = 1, high = 4096;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (number_cells(c, NULL, m, middle) <= most)
            low = middle;
        else
            high = middle;
    }
    return low;
}

pf_err
thin_mesh(struct pf_mesh *mesh, int64_t most)
{
    struct clusters c = {.slots = 2};
    float size[3];
    if (mesh->vertices <= most)
        return PF_OK;
    find_box(c.low, size, mesh);
    c.side = fmaxf(fmaxf(size[0], size[1]), fmaxf(size[2], 1e-30f));
    while (c.slots < 2 * (size_t)mesh->vertices)
        c.slots *= 2;
    c.key = malloc(c.slots * sizeof *c.key);
    c.number = malloc(c.slots * sizeof *c.number);
    uint32_t *number = malloc((size_t)mesh->vertices * sizeof *number);
    float *sum = malloc((size_t)most * 7 * sizeof *sum);
    pf_err err = PF_OK;
    if (c.key && c.number && number && sum)
        join(mesh, number, number_cells(&c, number, mesh, find_grid(&c, mesh, most)), sum);
    else
        err = pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)mesh->vertices);
    free(c.key);
    free(c.number);
    free(number);
    free(sum);
    return err;
}

/* ---- fewer bytes ---- */

/* The sum of the normals of each vertex's faces, by their areas: normal [vertices, 3]. */
static void
sum_normals(float *normal, const struct pf_mesh *m)
{
    for (int64_t f = 0; f < m->faces; f++) {
        const uint32_t *i = m->face + 3 * f;
        const float *a = m->vertex + 3 * (int64_t)i[0], *b = m->vertex + 3 * (int64_t)i[1],
                    *c = m->vertex + 3 * (int64_t)i[2];
        float u[3], w[3];
        for (int k = 0; k < 3; k++)
            u[k] = b[k] - a[k], w[k] = c[k] - a[k];
        for (int corner = 0; corner < 3; corner++)
            for (int k = 0; k < 3; k++)
                normal[3 * (int64_t)i[corner] + k] +=
                    u[(k + 1) % 3] * w[(k + 2) % 3] - u[(k + 2) % 3] * w[(k + 1) % 3];
    }
}

/* The mesh's own normals, where it has them: sums know nothing of the faces across a seam. */
static void
prefer_normals(float *normal, const struct pf_mesh *m)
{
    for (int64_t v = 0; v < m->vertices && m->normal; v++) {
        const float *const own = m->normal + 3 * v;
        if (own[0] != 0 || own[1] != 0 || own[2] != 0)
            memcpy(normal + 3 * v, own, 3 * sizeof *own);
    }
}

static void
put_number(uint8_t *to, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

static void
pack_vertex(uint8_t *to, const struct thin_bytes *t, const float *p, const float *n,
            const uint8_t *color)
{
    const float length = sqrtf(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    for (int k = 0; k < 3; k++) {
        const float at = t->size[k] > 0 ? (p[k] - t->low[k]) / t->size[k] : 0;
        put_number(to + 2 * k, (uint32_t)lrintf(65535 * fminf(fmaxf(at, 0), 1)), 2);
        put_number(to + 6 + k, (uint32_t)lrintf(length > 0 ? 127 * n[k] / length : 0), 1);
        to[9 + k] = color ? color[k] : 190;
    }
}

pf_err
thin_pack(struct thin_bytes *packed, const struct pf_mesh *m)
{
    const size_t V = (size_t)m->vertices, F = (size_t)m->faces;
    float *normal = calloc(3 * V + 1, sizeof *normal);
    *packed = (struct thin_bytes){.index = m->vertices <= 65536 ? 2 : 4};
    packed->n = THIN_VERTEX * V + 3 * F * (size_t)packed->index;
    packed->bytes = malloc(packed->n + 1);
    if (!normal || !packed->bytes) {
        free(normal);
        free(packed->bytes);
        return pf_fail(PF_ENOMEM, "no memory for %lld vertices", (long long)m->vertices);
    }
    find_box(packed->low, packed->size, m);
    sum_normals(normal, m);
    prefer_normals(normal, m);
    for (size_t v = 0; v < V; v++)
        pack_vertex(packed->bytes + THIN_VERTEX * v, packed, m->vertex + 3 * v, normal + 3 * v,
                    m->color ? m->color + 3 * v : NULL);
    for (size_t i = 0; i < 3 * F; i++)
        put_number(packed->bytes + THIN_VERTEX * V + i * (size_t)packed->index, m->face[i],
                   packed->index);
    free(normal);
    return PF_OK;
}
