/* camera.c - the rig and its cameras (cameras.md). */
#include <math.h>
#include <string.h>

#include "common/camera.h"

/* ---- the rig ---- */

float
pf_rig_azimuth(int n, int N)
{
    return (float)((double)n / N * (2 * PF_PI));
}

void
pf_camera_pose(double pose[12], double elevation, double azimuth)
{
    const double se = sin(elevation), ce = cos(elevation), sa = sin(azimuth), ca = cos(azimuth);
    const double p[12] = {
        -sa,      ca,       0,   0,             // right
        se * ca,  se * sa,  -ce, 0,             // down
        -ce * ca, -ce * sa, -se, PF_RIG_DISTANCE,       // forward
    };
    memcpy(pose, p, sizeof p);
}

void
pf_camera_intrinsics(double K[9], int image_size)
{
    const double f = 280.0 / 256.0 * image_size, c = 0.5 * image_size;
    const double k[9] = {f, 0, c, 0, f, c, 0, 0, 1};
    memcpy(K, k, sizeof k);
}

static void
store(pf_tensor *t, int64_t view, const double *v, int64_t n)
{
    for (int64_t i = 0; t && i < n; i++)
        ((float *)t->data)[view * n + i] = (float)v[i];
}

static void
fill_rig(pf_tensor *pose, pf_tensor *intrinsics, pf_tensor *elevations, pf_tensor *azimuths, int N,
         double elevation, int image_size)
{
    double P[12], K[9];
    pf_camera_intrinsics(K, image_size);
    for (int n = 0; n < N; n++) {
        const double azimuth = pf_rig_azimuth(n, N);
        pf_camera_pose(P, elevation, (double)n / N * (2 * PF_PI));
        store(pose, n, P, 12);
        store(intrinsics, n, K, 9);
        store(elevations, n, &elevation, 1);
        store(azimuths, n, &azimuth, 1);
    }
}

pf_err
pf_rig_tensors(pf_tensor *pose, pf_tensor *intrinsics, pf_tensor *elevations, pf_tensor *azimuths,
               int N, double elevation, int image_size)
{
    pf_tensor *const all[4] = {pose, intrinsics, elevations, azimuths};
    const int ndim[4] = {3, 3, 1, 1};
    const int64_t dim[4][3] = {{N, 3, 4}, {N, 3, 3}, {N}, {N}};
    if (N < 1 || image_size < 1)
        return pf_fail(PF_EARG, "a rig of %d views of %d px cannot be: both must be at least 1",
                       N, image_size);
    for (int i = 0; i < 4; i++) {
        const pf_err err = all[i] ? pf_tensor_new(all[i], PF_F32, ndim[i], dim[i]) : PF_OK;
        if (err) {
            while (i-- > 0)
                if (all[i])
                    pf_tensor_release(all[i]);
            return err;
        }
    }
    fill_rig(pose, intrinsics, elevations, azimuths, N, elevation, image_size);
    return PF_OK;
}

/* Into -pi..pi, in the original's float32 steps: they cost the last bits that the network saw. */
static float
wrap(float azimuth)
{
    const float turn = (float)(2 * PF_PI), a = fmodf(azimuth + (float)PF_PI, turn);
    return (a < 0 ? a + turn : a) - (float)PF_PI;
}

void
pf_viewpoint_embed(float v[4], float elevation_input, float elevation_target, float azimuth,
                   float azimuth_input)
{
    const float turned = wrap(azimuth) - azimuth_input;
    v[0] = elevation_input - elevation_target;
    v[1] = sinf(turned);
    v[2] = cosf(turned);
    v[3] = 0;
}

/* ---- SPAD's cameras ---- */

void
pf_spad_camera(struct pf_spad_camera *c, double elevation, double azimuth)
{
    const double st = sin(elevation), ct = cos(elevation), sp = sin(azimuth), cp = cos(azimuth);
    const double out[3] = {st * cp, st * sp, ct};
    for (int k = 0; k < 3; k++) {
        c->center[k] = PF_RIG_DISTANCE * out[k];
        c->forward[k] = -out[k];
    }
    /* normalise(forward x z).  At the pole that is 0/0, and the original's maps NaN; the limit from
     * above is used there (cameras.md, 4). */
    const double sign = st < -1e-6 ? -1 : 1;
    c->right[0] = sign * -sp;
    c->right[1] = sign * cp;
    c->right[2] = 0;
    pf_cross3(c->up, c->right, c->forward);
}
