/* Files that want to cost more than they weigh, or to be two things at once (make_hostile.py): each
 * is refused with one clean sentence within a second and 256 MB; those of harmless/ may be read, in
 * no more than that. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/capture.h"
#include "common/checkpoint.h"
#include "common/config.h"
#include "common/image.h"
#include "common/stream.h"
#include "common/text.h"
#include "kernels/field/field.h"
#include "tests/check.h"
#include "tools/pf-crop/list.h"
#include "tools/pf-eval/shape.h"
#include "tools/pf-stream/table.h"

// uses: tools/pf-crop/list.c tools/pf-eval/shape.c tools/pf-eval/shape_obj.c
// uses: tools/pf-eval/shape_glb.c tools/pf-eval/shape_npz.c tools/pf-stream/table.c

enum { MOST_SECONDS = 1, MOST_MEGABYTES = 256, SLOW = 20 };

/* A build with sanitizers, or one that is not optimised, takes longer. */
static bool
is_slow_build(void)
{
#ifdef __OPTIMIZE__
    return getenv("PF_SAN") && *getenv("PF_SAN");
#else
    return true;
#endif
}

static pf_err
read_checkpoint(const char *path)
{
    pf_checkpoint *w;
    pf_tensor t;
    pf_err err = PF_OK;
    PF_TRY(pf_checkpoint_open(&w, path));
    for (int i = 0; i < pf_checkpoint_count(w) && !err; i++) {
        err = pf_checkpoint_read(w, i, &t);
        pf_checkpoint_drop(w, i);
    }
    for (int i = 0; i < pf_checkpoint_count(w) && !err; i++)
        err = pf_checkpoint_verify(w, i);
    pf_checkpoint_close(w);
    return err;
}

static pf_err
read_stream(const char *path)
{
    pf_stream *s;
    pf_doc doc = {0};
    pf_err err;
    PF_TRY(pf_stream_open(&s, path));
    while (!(err = pf_stream_read(s, &doc)))
        ;
    pf_doc_release(&doc);
    pf_stream_close(s);
    return err == PF_END ? PF_OK : err;
}

static pf_err
read_field(const char *path)
{
    pf_field *f;
    pf_doc doc = {0};
    PF_TRY(pf_doc_read_file(&doc, path));
    const pf_err err = pf_field_load(&f, NULL, &doc, &pf_conf.neus);
    if (!err)
        pf_field_free(f);
    pf_doc_release(&doc);
    return err;
}

static pf_err
read_picture(const char *path)
{
    pf_image image;
    const pf_err err = pf_image_read(&image, path);
    if (!err)
        pf_image_release(&image);
    return err;
}

static pf_err
read_config(const char *path)
{
    struct pf_config conf = pf_conf;
    return pf_config_load(&conf, path);
}

static pf_err
read_mesh(const char *path)
{
    struct shape s;
    PF_TRY(shape_read(&s, path));
    shape_release(&s);
    return PF_OK;
}

static pf_err
read_list(const char *path)
{
    struct list list;
    PF_TRY(list_read(&list, path));
    list_release(&list);
    return PF_OK;
}

static pf_err
read_manifest(const char *path)
{
    json_t *const last = json_object();
    const pf_err err = table_read(last, path);
    json_decref(last);
    return err;
}

static pf_err
read_cameras(const char *path)
{
    struct pf_capture c = {0};
    const pf_err err = pf_capture_read(&c, path, "tests/data/images");
    pf_capture_release(&c);
    return err;
}

static pf_err (*reader_of(const char *path))(const char *)
{
    static const struct {
        const char *ending;
        pf_err (*read)(const char *path);
    } readers[] = {
        {".field.pf", read_field}, {".pf", read_stream}, {".png", read_picture},
        {".jpg", read_picture}, {".webp", read_picture}, {".yaml", read_config},
        {".ply", read_mesh}, {".obj", read_mesh}, {".stl", read_mesh}, {".glb", read_mesh},
        {".npz", read_mesh}, {".tsv", read_list}, {".jsonl", read_manifest},
        {".transforms.json", read_cameras},
    };
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        const size_t n = strlen(readers[i].ending);
        if (strlen(path) > n && !strcmp(path + strlen(path) - n, readers[i].ending))
            return readers[i].read;
    }
    return read_checkpoint;
}

/* Nothing that a terminal could take for a command, and one line. */
static bool
is_clean(const char *sentence)
{
    char copy[2000];
    snprintf(copy, sizeof copy, "%s", sentence);
    return *sentence && !strcmp(pf_text_clean(copy), sentence);
}

static void
limit(int resource, rlim_t most)
{
    const struct rlimit r = {most, most};
    setrlimit(resource, &r);
}

/* A child that reads the file: 0: it did, 1: it was refused. */
static void
child(const char *path)
{
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);               // what a picture's note says
    limit(RLIMIT_CPU, SLOW * MOST_SECONDS + 2);
    limit(RLIMIT_CORE, 0);
    const pf_err err = reader_of(path)(path);
    _exit(!err ? 0 : is_clean(pf_error()) ? 1 : 2);
}

/* What is wrong with the way in which a file is read, or NULL. */
static const char *
judge(const char *path, bool refused)
{
    static char why[200];
    const bool slow = is_slow_build();
    struct rusage use;
    int status;
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(path);
    assert_int_equal(wait4(pid, &status, 0, &use), pid);
    const double seconds = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
    if (!WIFEXITED(status))
        snprintf(why, sizeof why, "killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) > 1)
        snprintf(why, sizeof why, "its sentence is not clean");
    else if (refused && WEXITSTATUS(status) == 0)
        snprintf(why, sizeof why, "it is accepted");
    else if (seconds > MOST_SECONDS * (slow ? SLOW : 1))
        snprintf(why, sizeof why, "it takes %.1f s", seconds);
    else if (!slow && use.ru_maxrss > MOST_MEGABYTES << 10)
        snprintf(why, sizeof why, "it takes %ld MB", use.ru_maxrss >> 10);
    else
        return NULL;
    return why;
}

/* All files of a folder; how many there are. */
static int
judge_folder(const char *folder, bool refused)
{
    struct dirent **entry = NULL;
    const int n = scandir(folder, &entry, NULL, alphasort);
    int files = 0, bad = 0;
    for (int i = 0; i < n; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        const char *const why = entry[i]->d_type == DT_REG ? judge(path, refused) : NULL;
        if (why)
            printf("# %s: %s\n", path, why);
        bad += why != NULL;
        files += entry[i]->d_type == DT_REG;
        free(entry[i]);
    }
    free(entry);
    assert_int_equal(bad, 0);
    return files;
}

static void
test_hostile_files_are_refused_cheaply(void **state)
{
    (void)state;
    assert_true(judge_folder("tests/data/hostile", true) >= 200);
}

static void
test_harmless_ones_are_cheap(void **state)
{
    (void)state;
    assert_true(judge_folder("tests/data/hostile/harmless", false) > 5);
}

/* The judge itself: it sees a file that is read, and one that costs too much. */
static void
test_a_good_file_is_not_refused(void **state)
{
    (void)state;
    assert_string_equal(judge("tests/data/checkpoint/small.ckpt", true), "it is accepted");
    assert_null(judge("tests/data/checkpoint/small.ckpt", false));
    assert_null(judge("tests/data/checkpoint/no_pickle.ckpt", true));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_files_are_refused_cheaply),
        cmocka_unit_test(test_harmless_ones_are_cheap),
        cmocka_unit_test(test_a_good_file_is_not_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
