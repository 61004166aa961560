#include "tools/pf-render-video/frames.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include "common/image.h"

enum { MOST_BYTES = 256 << 20 };        /* of frames that wait, unless one is larger */
enum { MOST_THREADS = 32 };     /* each has a file open (output.c) */

struct frames {
    const char *folder;
    pf_image *slot;             /* [slots], a ring: frame k is in slot k % slots; owned */
    bool *busy;                 /* [slots] until its frame is written; owned */
    pthread_t *thread;          /* [threads], owned */
    int slots, threads;
    int added, taken;           /* frames so far; those from taken to added wait for a thread */
    bool closing;
    pf_err err;                 /* of the first of the frames that failed */
    int failed;                 /* its number, or INT_MAX */
    char why[1000];             /* its sentence */
    pthread_mutex_t lock;       /* of all that changes */
    pthread_cond_t changed;
};

static pf_err
save(const struct frames *f, const pf_image *image, int number)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%04d.png", f->folder, number) >= (int)sizeof path)
        return pf_fail(PF_EIO, "%s: the name is too long", f->folder);
    return pf_image_save_png(image, path);
}

/* Frames that wait, until there will be no more. */
static void *
work(void *frames)
{
    struct frames *const f = frames;
    pthread_mutex_lock(&f->lock);
    while (true) {
        while (f->taken == f->added && !f->closing)
            pthread_cond_wait(&f->changed, &f->lock);
        if (f->taken == f->added)
            break;
        const int number = f->taken++, slot = number % f->slots;
        const bool wanted = f->err == PF_OK;
        pthread_mutex_unlock(&f->lock);
        const pf_err err = wanted ? save(f, &f->slot[slot], number) : PF_OK;
        pthread_mutex_lock(&f->lock);
        if (err && number < f->failed) {
            f->err = err;
            f->failed = number;
            snprintf(f->why, sizeof f->why, "%s", pf_error());
        }
        f->busy[slot] = false;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static pf_err
allocate(struct frames *f, int size)
{
    const int64_t bytes = 3 * (int64_t)size * size, most = MOST_BYTES / bytes;
    const int others = omp_get_max_threads() - 1;       // beside the one that renders
    const int threads = others < MOST_THREADS ? others : MOST_THREADS;
    f->slots = threads + 2 < most ? threads + 2 : most > 1 ? (int)most : 1;
    f->slot = calloc((size_t)f->slots, sizeof *f->slot);
    f->busy = calloc((size_t)f->slots, sizeof *f->busy);
    f->thread = calloc((size_t)threads + 1, sizeof *f->thread);
    if (!f->slot || !f->busy || !f->thread)
        return pf_fail(PF_ENOMEM, "no memory for frames of %d x %d", size, size);
    for (int i = 0; i < f->slots; i++)
        PF_TRY(pf_image_new(&f->slot[i], size, size, 3));
    /* As many threads as the system gives; without any frames_add does their work. */
    while (f->threads < threads && f->threads < f->slots &&
           !pthread_create(&f->thread[f->threads], NULL, work, f))
        f->threads++;
    return PF_OK;
}

pf_err
frames_open(struct frames **out, const char *folder, int size)
{
    struct frames *const f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f)
        return pf_fail(PF_ENOMEM, "no memory for frames");
    f->folder = folder;
    f->failed = INT_MAX;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    const pf_err err = allocate(f, size);
    if (!err)
        *out = f;
    else if (frames_close(f))
        pf_bug("frames failed that were never added");
    return err;
}

pf_err
frames_add(struct frames *f, const uint8_t *rgb)
{
    const int slot = f->added % f->slots;
    pf_image *const image = &f->slot[slot];
    pthread_mutex_lock(&f->lock);
    while (f->busy[slot])
        pthread_cond_wait(&f->changed, &f->lock);
    const pf_err err = f->err ? pf_fail(f->err, "%s", f->why) : PF_OK;
    pthread_mutex_unlock(&f->lock);
    PF_TRY(err);
    memcpy(image->pixel, rgb, pf_image_bytes(image));
    if (!f->threads)
        return save(f, image, f->added++);
    pthread_mutex_lock(&f->lock);
    f->busy[slot] = true;
    f->added++;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    return PF_OK;
}

pf_err
frames_close(struct frames *f)
{
    if (!f)
        return PF_OK;
    pthread_mutex_lock(&f->lock);
    f->closing = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    for (int i = 0; i < f->threads; i++)
        pthread_join(f->thread[i], NULL);
    const pf_err err = f->err ? pf_fail(f->err, "%s", f->why) : PF_OK;
    for (int i = 0; f->slot && i < f->slots; i++)
        pf_image_release(&f->slot[i]);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
    free(f->slot);
    free(f->busy);
    free(f->thread);
    free(f);
    return err;
}
