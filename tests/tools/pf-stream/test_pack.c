/* pf-stream pack as a program: the cameras of others, their conventions and their mistakes, and the
 * way there and back with pf-neus and pf-extract-mesh.  The whole of 36 views only where $PF_LONG
 * is set. */
#include "tests/tools/pf-stream/scene.h"

enum { N = 12, W = 48, H = 36 };
static struct camera camera[MOST_CAMERAS];
static char lens[256];

static float *
floats(const pf_doc *doc, const char *name)
{
    const pf_tensor *t = pf_doc_get(doc, name);
    assert_non_null(t);
    return t->data;
}

static void
same_tensor(const pf_doc *a, const pf_doc *b, const char *name, double tolerance)
{
    assert_int_equal(pf_tensor_count(pf_doc_get(a, name)), pf_tensor_count(pf_doc_get(b, name)));
    assert_near(floats(a, name), floats(b, name), pf_tensor_count(pf_doc_get(a, name)), tolerance);
}

static bool
same_bytes(const pf_doc *a, const pf_doc *b, const char *name)
{
    const pf_tensor *x = pf_doc_get(a, name), *y = pf_doc_get(b, name);
    return x && y && pf_tensor_bytes(x) == pf_tensor_bytes(y) &&
           !memcmp(x->data, y->data, pf_tensor_bytes(x));
}

/* A point of the world lands in each view where the camera that was written down has it, less the
 * half pixel that its convention differs by. */
static void
check_projection(const pf_doc *doc, const double world[3], int n)
{
    struct pf_world w;
    assert_ok(pf_world_need(&w, doc));
    for (int i = 0; i < n; i++) {
        const float *P = floats(doc, "views.pose") + 12 * i,
                    *K = floats(doc, "views.intrinsics") + 9 * i;
        const double to[3] = {world[0] - camera[i].c[0], world[1] - camera[i].c[1],
                              world[2] - camera[i].c[2]};
        const double z = pf_dot3(camera[i].R + 6, to);
        const double u = camera[i].cx + camera[i].f * pf_dot3(camera[i].R, to) / z;
        const double v = camera[i].cy + camera[i].f * pf_dot3(camera[i].R + 3, to) / z;
        double x[3];
        for (int r = 0; r < 3; r++) {
            x[r] = P[4 * r + 3];
            for (int k = 0; k < 3; k++)
                x[r] += P[4 * r + k] * w.scale * (world[k] - w.center[k]);
        }
        const float got[2] = {(float)(K[2] + K[0] * x[0] / x[2]),
                              (float)(K[5] + K[4] * x[1] / x[2])};
        assert_near(got, ((float[]){(float)(u - 0.5), (float)(v - 0.5)}), 2, 1e-3);
        assert_near(((float[]){(float)x[2]}), ((float[]){(float)(w.scale * z)}), 1, 1e-5);
    }
}

static void
test_transforms_json(void **state)
{
    struct pf_world w;
    pf_doc doc = {0};
    (void)state;
    SAYS("12 views of 48 x 36 pixels; cube = ", "pf-stream pack -o views.pf transforms.json");
    RUNS("pf-stream pack -q -o views.pf transforms.json");
    read_document(&doc, "views.pf");
    assert_string_equal(pf_doc_get_meta(&doc, "pf.kind"), "views");
    assert_true(pf_tensor_is(pf_doc_get(&doc, "views.image"), PF_U8, 4, (int64_t[]){N, H, W, 3}));
    assert_true(pf_tensor_is(pf_doc_get(&doc, "views.alpha"), PF_F32, 3, (int64_t[]){N, H, W}));
    check_projection(&doc, ball, N);
    check_projection(&doc, box_high, N);
    assert_ok(pf_world_need(&w, &doc));         // around all of ball and box, and not far around
    for (int i = 0; i < 3; i++)
        assert_true(fabs(w.center[i] - (double[]){120, -36.5, 60}[i]) < 3);
    assert_true(w.scale > 0.5 / 24 && w.scale < 0.5 / 17);
    assert_near(floats(&doc, "views.elevation"), ((float[]){-0.45f}), 1, 0.1);
    pf_doc_release(&doc);
}

/* The same cameras by another hand. */
static void
test_colmap_says_the_same(void **state)
{
    pf_doc a = {0}, b = {0};
    (void)state;
    RUNS("pf-stream pack -q -o views.pf transforms.json");
    RUNS("pf-stream pack -q --images . -o colmap.pf colmap");
    read_document(&a, "views.pf");
    read_document(&b, "colmap.pf");
    assert_true(same_bytes(&a, &b, "views.image") && same_bytes(&a, &b, "views.alpha"));
    same_tensor(&a, &b, "views.pose", 1e-5);
    same_tensor(&a, &b, "views.intrinsics", 1e-5);
    same_tensor(&a, &b, "views.azimuth", 1e-5);
    pf_doc_release(&a);
    pf_doc_release(&b);
}

/* Pictures without alpha, and masks: named by the frames, or of the same name in a folder. */
static void
test_masks_beside(void **state)
{
    pf_doc a = {0}, b = {0};
    FILE *f = fopen("named.json", "w");
    (void)state;
    assert_non_null(f);
    fprintf(f, "{%s, \"frames\": [", lens);
    for (int i = 0; i < N; i++) {
        char picture[64], mask[64];
        snprintf(picture, sizeof picture, "./rgb/r_%d.png", i);
        snprintf(mask, sizeof mask, "\"mask_path\": \"mask/r_%d.png\", ", i);
        print_frame(f, &camera[i], picture, mask);
        fprintf(f, i + 1 < N ? ",\n" : "]}\n");
    }
    fclose(f);
    write_transforms("bare.json", lens, "rgb/", camera, N);
    RUNS("pf-stream pack -q -o views.pf transforms.json");
    RUNS("pf-stream pack -q -o named.pf named.json");
    RUNS("pf-stream pack -q --masks mask -o beside.pf bare.json");
    read_document(&a, "views.pf");
    read_document(&b, "named.pf");
    assert_true(same_bytes(&a, &b, "views.alpha") && same_bytes(&a, &b, "views.pose"));
    assert_true(((uint8_t *)pf_doc_get(&b, "views.image")->data)[0] == 255);    // on white
    read_document(&b, "beside.pf");
    assert_true(same_bytes(&a, &b, "views.alpha") && same_bytes(&a, &b, "views.pose"));
    SAYS("without masks", "pf-stream pack -o bare.pf bare.json");
    read_document(&b, "bare.pf");
    assert_null(pf_doc_get(&b, "views.alpha"));
    FAILS(1, "bare.json: frame 0: elsewhere has neither r_0.png.png nor r_0.png",
          "pf-stream pack -q --masks elsewhere -o x.pf bare.json");
    pf_doc_release(&a);
    pf_doc_release(&b);
}

/* Without masks the cameras stand 1.5 away on average; what is given is taken. */
static void
test_center_and_scale(void **state)
{
    struct pf_world w;
    pf_doc doc = {0};
    double away = 0;
    (void)state;
    write_transforms("bare.json", lens, "rgb/", camera, N);
    RUNS("pf-stream pack -q -o bare.pf bare.json");
    read_document(&doc, "bare.pf");
    for (int i = 0; i < N; i++) {
        const float *P = floats(&doc, "views.pose") + 12 * i;
        away += sqrt(P[3] * P[3] + P[7] * P[7] + P[11] * P[11]) / N;
    }
    assert_true(fabs(away - 1.5) < 1e-4);
    RUNS("pf-stream pack -q --center 118,-36,-2.5 --scale 0.02 -o given.pf transforms.json");
    read_document(&doc, "given.pf");
    assert_ok(pf_world_need(&w, &doc));
    assert_true(w.center[0] == 118 && w.center[1] == -36 && w.center[2] == -2.5 && w.scale == 0.02);
    check_projection(&doc, ball, N);
    FAILS(2, "--center needs three numbers", "pf-stream pack --center 1,2 -o x.pf transforms.json");
    FAILS(2, "out of range", "pf-stream pack --scale -1 -o x.pf transforms.json");
    pf_doc_release(&doc);
}

/* camera_angle_x alone, as in the NeRF data sets: the middle of the picture, square pixels; and a
 * frame that knows better. */
static void
test_lens_by_angle(void **state)
{
    pf_doc doc = {0};
    char more[256];
    (void)state;
    snprintf(lens, sizeof lens, "\"camera_angle_x\": %.12g", 2 * atan(0.5 / 1.15));
    FILE *f = fopen("angle.json", "w");
    assert_non_null(f);
    fprintf(f, "{%s, \"frames\": [", lens);
    snprintf(more, sizeof more, "\"fl_x\": 50, \"fl_y\": 51, \"cx\": 20, ");
    for (int i = 0; i < 4; i++) {
        char picture[64];
        snprintf(picture, sizeof picture, "r_%d", i);
        print_frame(f, &camera[i], picture, i == 2 ? more : "");
        fprintf(f, i < 3 ? ",\n" : "]}\n");
    }
    fclose(f);
    lens_of(lens, camera);
    RUNS("pf-stream pack -q -o angle.pf angle.json");
    read_document(&doc, "angle.pf");
    const float *K = floats(&doc, "views.intrinsics");
    assert_near(K, ((float[]){1.15f * W, 0, W / 2 - 0.5f, 0, 1.15f * W, H / 2 - 0.5f, 0, 0, 1}), 9,
                1e-4);
    assert_near(K + 18, ((float[]){50, 0, 19.5f, 0, 51, H / 2 - 0.5f, 0, 0, 1}), 9, 1e-4);
    pf_doc_release(&doc);
}

/* The worked example of pf-stream(5), and the same camera of a world that is twice as large. */
static void
test_worked_example_of_the_page(void **state)
{
    static const float pose[12] = {0, 1, 0, 0, 0, 0, -1, 0, -1, 0, 0, 1.5f};
    static const float K[9] = {40, 0, 23.5f, 0, 40, 17.5f, 0, 0, 1};
    pf_doc doc = {0};
    (void)state;
    write_text("page.json",
               "{\"fl_x\": 40, \"cx\": 24, \"cy\": 18, \"w\": 48, \"h\": 36, \"frames\": [\n"
               "{\"file_path\": \"r_0.png\", \"transform_matrix\":\n"
               "  [[0, 0, 1, 1.5], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]}]}\n");
    RUNS("pf-stream pack -q --center 0,0,0 --scale 1 -o page.pf page.json");
    read_document(&doc, "page.pf");
    assert_near(floats(&doc, "views.pose"), pose, 12, 1e-7);
    assert_near(floats(&doc, "views.intrinsics"), K, 9, 1e-6);
    const float x[3] = {0.5f, 0.25f, 0.1f}, *P = floats(&doc, "views.pose");
    float in[3];
    for (int i = 0; i < 3; i++)
        in[i] = P[4 * i] * x[0] + P[4 * i + 1] * x[1] + P[4 * i + 2] * x[2] + P[4 * i + 3];
    assert_near(in, ((float[]){0.25f, -0.1f, 1}), 3, 1e-6);
    assert_near(((float[]){40 * in[0] / in[2] + K[2], 40 * in[1] / in[2] + K[5]}),
                ((float[]){33.5f, 13.5f}), 2, 1e-5);
    write_text("example.json",
               "{\"fl_x\": 40, \"cx\": 24, \"cy\": 18, \"w\": 48, \"h\": 36, \"frames\": [\n"
               "{\"file_path\": \"r_0.png\", \"transform_matrix\":\n"
               "  [[0, 0, 1, 4], [1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 0, 1]]}]}\n");
    RUNS("pf-stream pack -q --center 1,1,2 --scale 0.5 -o example.pf example.json");
    read_document(&doc, "example.pf");
    assert_near(floats(&doc, "views.pose"), pose, 12, 1e-7);
    assert_near(floats(&doc, "views.intrinsics"), K, 9, 1e-6);
    assert_near(floats(&doc, "views.elevation"), ((float[]){0}), 1, 1e-7);
    assert_near(floats(&doc, "views.azimuth"), ((float[]){0}), 1, 1e-7);
    pf_doc_release(&doc);
}

/* pack - looked for a folder of that name. */
static void
test_cameras_on_stdin(void **state)
{
    (void)state;
    RUNS("pf-stream pack -q --center 0,0,0 --scale 1 -o page.pf page.json");
    RUNS("pf-stream pack -q --center 0,0,0 --scale 1 - <page.json | cmp - page.pf");
    RUNS("mkdir -p elsewhere && cp page.json elsewhere");
    FAILS(1, "elsewhere/page.json: frame 0: there is no picture elsewhere/r_0.png",
          "pf-stream pack -q --center 0,0,0 --scale 1 -o x.pf elsewhere/page.json");
    RUNS("pf-stream pack -q --images . --center 0,0,0 --scale 1 elsewhere/page.json >named.pf");
    RUNS("pf-stream get views.image named.pf >named.npy && pf-stream get views.image page.pf | "
         "cmp - named.npy");
    FAILS(1, "stdin: frame 0: there is no picture elsewhere/r_0.png",
          "pf-stream pack -q --images elsewhere -o x.pf - <page.json");
    FAILS(1, "stdin has no array \"frames\"", "echo '{}' | pf-stream pack -q -o x.pf -");
    FAILS(1, "stdin is empty", "pf-stream pack -q -o x.pf - </dev/null");
    FAILS(1, "stdin: is a PNG picture, not JSON", "pf-stream pack -q -o x.pf - <r_0.png");
}

/* ---- mistakes ---- */

#define FRAME                                                                                      \
    "{\"file_path\": \"r_0.png\", \"transform_matrix\": "                                          \
    "[[1,0,0,0],[0,1,0,0],[0,0,1,3],[0,0,0,1]]}"

static void
refuse_transforms(const char *text, const char *words)
{
    write_text("bad.json", text);
    FAILS(1, words, "pf-stream pack -q --center 0,0,0 --scale 1 -o x.pf bad.json");
    assert_int_not_equal(access("x.pf", F_OK), 0);
}

static void
test_transforms_that_are_refused(void **state)
{
    (void)state;
    refuse_transforms("{\"fl_x\": 40,\n \"frames\": [" FRAME "}\n", "bad.json:2: ");
    refuse_transforms("{\"fl_x\": 40}", "bad.json has no array \"frames\"");
    refuse_transforms("[]", "bad.json has no array \"frames\"");
    refuse_transforms("{\"fl_x\": 40, \"frames\": []}", "bad.json names no picture");
    refuse_transforms("{\"fl_x\": 40, \"frames\": [7]}", "bad.json: frame 0 is not an object");
    refuse_transforms("{\"fl_x\": 40, \"frames\": [{}]}", "bad.json: frame 0 has no file_path");
    refuse_transforms("{\"frames\": [" FRAME "]}", "bad.json: frame 0: there is no focal length");
    refuse_transforms("{\"fl_x\": \"40\", \"frames\": [" FRAME "]}", "fl_x is not a number");
    refuse_transforms("{\"fl_x\": -40, \"frames\": [" FRAME "]}", "fl_x is not a number from");
    refuse_transforms("{\"fl_x\": 40, \"w\": 47.5, \"frames\": [" FRAME "]}",
                      "w is 47.5, expected whole pixels");
    refuse_transforms("{\"fl_x\": 40, \"w\": 96, \"h\": 72, \"frames\": [" FRAME "]}",
                      "r_0.png is 48 x 36 pixels, its camera is for 96 x 72");
    refuse_transforms("{\"fl_x\": 40, \"k1\": 0.01, \"frames\": [" FRAME "]}",
                      "the lens distorts, k1 is 0.01; undistort the pictures first, with colmap "
                      "image_undistorter");
    refuse_transforms("{\"fl_x\": 40, \"camera_model\": \"OPENCV_FISHEYE\", \"frames\": [" FRAME
                      "]}",
                      "the camera model OPENCV_FISHEYE is not a pinhole");
    refuse_transforms("{\"fl_x\": 40, \"is_fisheye\": true, \"frames\": [" FRAME "]}",
                      "is not a pinhole");
    refuse_transforms("{\"fl_x\": 40, \"frames\": [{\"file_path\": \"r_0.png\"}]}",
                      "frame 0: transform_matrix is not four rows of four numbers");
    refuse_transforms(
        "{\"fl_x\": 40, \"frames\": [{\"file_path\": \"r_0.png\", \"transform_matrix\": "
        "[[1,0,0,0],[0,1,0,0],[0,0,1,3],[0,0,1,1]]}]}",
        "the last 0 0 0 1");
    refuse_transforms(
        "{\"fl_x\": 40, \"frames\": [{\"file_path\": \"r_0.png\", \"transform_matrix\": "
        "[[2,0,0,0],[0,2,0,0],[0,0,2,3],[0,0,0,1]]}]}",
        "frame 0: transform_matrix holds no rotation");
    refuse_transforms("{\"fl_x\": 40, \"frames\": [" FRAME ", {\"file_path\": \"nowhere/r_0\"}]}",
                      "bad.json: frame 1: there is no picture nowhere/r_0");
    refuse_transforms("{\"fl_x\": 40, \"frames\": [" FRAME
                      ", {\"file_path\": \"rgb/r_1.png\", \"transform_matrix\": "
                      "[[1,0,0,0],[0,1,0,0],[0,0,1,3],[0,0,0,1]]}]}",
                      "has neither mask nor alpha channel");
    FAILS(1, "the cameras look in almost one direction", "pf-stream pack -q -o x.pf example.json");
    FAILS(1, "cannot read nowhere.json: No such file", "pf-stream pack -q -o x.pf nowhere.json");
    FAILS(2, "pack takes one transforms.json", "pf-stream pack -q -o x.pf");
    FAILS(1, "No space left", "pf-stream pack -q transforms.json >/dev/full");
}

/* Text as deep, as long or as cut as can be: a sentence, no more. */
static void
test_hostile_transforms(void **state)
{
    enum { DEEP = 100000 };
    char *text = malloc(DEEP + 1);
    (void)state;
    assert_non_null(text);
    memset(text, '[', DEEP);
    text[DEEP] = 0;
    refuse_transforms(text, "bad.json:1: ");
    refuse_transforms("", "bad.json is empty");
    refuse_transforms("{\"fl_x\": 1e999, \"frames\": []}", "bad.json:1: ");
    memset(text, 'a', DEEP);
    snprintf(text, 64, "{\"fl_x\": 40, \"frames\": [{\"file_path\": \"");
    text[strlen(text)] = 'a';
    strcpy(text + DEEP - 4, "\"}]}");
    refuse_transforms(text, "the name of a picture is too long");
    free(text);
    RUNS("{ echo '{'; yes ' '; } | head -c 70000000 >long.json");
    FAILS(1, "long.json is longer than 67108864 bytes", "pf-stream pack -q -o x.pf long.json");
    RUNS("rm long.json && head -c 900 transforms.json >cut.json");
    FAILS(1, "cut.json:", "pf-stream pack -q -o x.pf cut.json");
}

static void
refuse_colmap(const char *cameras, const char *images, const char *words)
{
    mkdir("bad", 0777);
    write_text("bad/cameras.txt", cameras);
    write_text("bad/images.txt", images);
    FAILS(1, words, "pf-stream pack -q --images . --center 0,0,0 --scale 1 -o x.pf bad");
}

static void
test_colmap_that_is_refused(void **state)
{
    static const char good[] = "# comment\n1 PINHOLE 48 36 40 40 24 18\n",
                      image[] = "1 1 0 0 0 0 0 3 1 r_0.png\n\n";
    char line[10240];
    (void)state;
    refuse_colmap(
        "1 OPENCV 48 36 40 40 24 18 0 0 0 0\n", image,
        "bad/cameras.txt:1: the camera model OPENCV is not known, only SIMPLE_PINHOLE and PINHOLE; "
        "undistort the pictures first, with colmap image_undistorter");
    refuse_colmap("\n1 PINHOLE 48 36 40 40 24\n", image,
                  "bad/cameras.txt:2: expected CAMERA_ID PINHOLE WIDTH HEIGHT FX");
    refuse_colmap("1 PINHOLE 48 36 40 40 24 x\n", image,
                  "bad/cameras.txt:1: \"x\" is not a number");
    refuse_colmap("1 PINHOLE 48 36 40 nan 24 18\n", image, "\"nan\" is not a number");
    refuse_colmap("1 PINHOLE 48 36 40 -40 24 18\n", image, "the focal length is not positive");
    refuse_colmap("1 PINHOLE 99999999999 36 40 40 24 18\n", image, "expected CAMERA_ID PINHOLE");
    refuse_colmap("1 PINHOLE 48 36 40 40 24 18\n1 PINHOLE 48 36 40 40 24 18\n", image,
                  ":2: camera 1 is there twice");
    refuse_colmap(good, "1 1 0 0 0 0 0 3 2 r_0.png\n\n",
                  "bad/images.txt:1: cameras.txt has no camera 2");
    refuse_colmap(good, "# c\n1 1 0 0 0 0 0 3 1\n\n",
                  "bad/images.txt:2: expected IMAGE_ID QW QX QY QZ TX TY TZ");
    refuse_colmap(good, "1 0 0 0 0 0 0 3 1 r_0.png\n\n", "QW QX QY QZ has length 0, expected 1");
    refuse_colmap(good, "1 1 0 0 0 0 0 3 1 r_9999.png\n\n",
                  "bad/images.txt:1: there is no picture ./r_9999.png");
    refuse_colmap(good, "1 1 0 0 0 0 0 3 1 r_0.png\n2 1 0 0 0 0 0 3 1 r_1.png\n",
                  "bad/images.txt:2: expected the points of the picture in the line before");
    refuse_colmap(good, "7 1 0 0 0 0 0 3 1 r_0.png\n\n#\n7 1 0 0 0 0 0 3 1 r_1.png\n\n",
                  "bad/images.txt:4: image 7 is there twice, first at bad/images.txt:1");
    refuse_colmap(good, "x 1 0 0 0 0 0 3 1 r_0.png\n\n", "bad/images.txt:1: expected IMAGE_ID");
    refuse_colmap(good, "# nothing\n", "bad names no picture");
    memset(line, '7', sizeof line - 1);
    line[sizeof line - 1] = 0;
    refuse_colmap(line, image, "bad/cameras.txt:1: the line is longer than");
    for (size_t i = 9; i < sizeof line - 1; i += 10)     // 1023 words of points: of any length
        line[i] = ' ';
    char images[sizeof line + 64];
    snprintf(images, sizeof images, "1 1 0 0 0 0 0 3 1 r_0.png\n%s\n", line);
    write_text("bad/cameras.txt",
               "3 SIMPLE_PINHOLE 48 36 40 24 18\n1 SIMPLE_PINHOLE 48 36 40 24 18\n");
    write_text("bad/images.txt", images);
    const int words = (int)((sizeof line - 1 + 9) / 10);
    if (words % 3)
        FAILS(1, "expected the points",
              "pf-stream pack -q --images . --center 0,0,0 --scale 1 -o x.pf bad");
    images[strlen(images) - 1 - 10 * (words % 3)] = 0;
    write_text("bad/images.txt", images);
    RUNS("pf-stream pack -q --images . --center 0,0,0 --scale 1 -o y.pf bad");
    RUNS("rm bad/images.txt && touch bad/images.bin");
    FAILS(1, "colmap model_converter --output_type TXT", "pf-stream pack -q -o x.pf bad");
}

/* ---- there and back ---- */

/* Train on n views, extract, and compare in the cube's units: the sphere's centre, the mean
 * distance of the mesh to the true surface. */
static void
reconstruct(int n, int width, int height, int steps, double most_off, double most_mean)
{
    struct pf_world w;
    pf_doc doc = {0};
    char text[256];
    int64_t vertices, near = 0;
    double off[3], center[3], sum = 0;
    for (int i = 0; i < n; i++)
        camera[i] = place_camera(i, n, width, height);
    RUNS("mkdir -p round");
    assert_int_equal(chdir("round"), 0);
    draw_pictures(camera, n);
    write_transforms("transforms.json", lens_of(text, camera), "", camera, n);
    RUNS("pf-stream pack -q -o views.pf transforms.json");
    RUNS("pf-neus -q -d %s --steps %d -o field.pf views.pf", test_device(), steps);
    RUNS("pf-extract-mesh -q -d %s --resolution 160 --world -o mesh.ply field.pf", test_device());
    read_document(&doc, "views.pf");
    assert_ok(pf_world_need(&w, &doc));
    pf_doc_release(&doc);

    float *v = read_vertices("mesh.ply", &vertices);
    double *on_ball = malloc((size_t)vertices * 3 * sizeof *on_ball);
    for (int64_t i = 0; i < vertices; i++) {
        const double p[3] = {v[3 * i], v[3 * i + 1], v[3 * i + 2]};
        const double to_ball = distance_to_ball(p), to_box = distance_to_box(p);
        sum += fmin(fabs(to_ball), fabs(to_box)) * w.scale;
        if (fabs(to_ball) < fabs(to_box))
            memcpy(on_ball + 3 * near++, p, sizeof p);
    }
    assert_true(near > 100);
    fit_sphere(center, on_ball, near, ball);
    for (int i = 0; i < 3; i++)
        off[i] = (center[i] - ball[i]) * w.scale;
    const double aside = sqrt(pf_dot3(off, off)), mean = sum / (double)vertices;
    printf(
        "# %d views of %d x %d, %d steps: the sphere's centre is off by %.5f, mean distance %.5f\n",
        n, width, height, steps, aside, mean);
    free(v);
    free(on_ball);
    assert_int_equal(chdir(".."), 0);
    assert_true(aside <= most_off);
    assert_true(mean <= most_mean);
}

/* Few views that are not square, few steps: half a pixel, 0.02 here, or mixed-up sides would show.
 * */
static void
test_there_and_back(void **state)
{
    (void)state;
    reconstruct(N, W, H, 150, 0.01, 0.02);
}

/* 36 views, a sphere and a box, pixel centres at 0.5, from a transforms.json. */
static void
test_there_and_back_with_36_views(void **state)
{
    (void)state;
    if (!getenv("PF_LONG"))
        skip();
    reconstruct(36, 256, 192, 1000, 0.002, 0.005);
}

static int
enter(void **state)
{
    assert_int_equal(enter_scratch(state), 0);
    for (int i = 0; i < N; i++)
        camera[i] = place_camera(i, N, W, H);
    draw_pictures(camera, N);
    write_transforms("transforms.json", lens_of(lens, camera), "", camera, N);
    write_colmap("colmap", camera, N);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transforms_json),
        cmocka_unit_test(test_colmap_says_the_same),
        cmocka_unit_test(test_masks_beside),
        cmocka_unit_test(test_center_and_scale),
        cmocka_unit_test(test_lens_by_angle),
        cmocka_unit_test(test_worked_example_of_the_page),
        cmocka_unit_test(test_cameras_on_stdin),
        cmocka_unit_test(test_transforms_that_are_refused),
        cmocka_unit_test(test_hostile_transforms),
        cmocka_unit_test(test_colmap_that_is_refused),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_there_and_back_with_36_views),
    };
    return cmocka_run_group_tests_name("pack", tests, enter, leave_scratch);
}
