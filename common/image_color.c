/* image_color.c - pictures in other colours than sRGB's become sRGB, by Little CMS. */
#include <lcms2.h>
#include <math.h>
#include <stdlib.h>

#include "common/image_format.h"

/* 8-bit sRGB that a profile moves by more than this is another colour. */
enum { ROUNDING = 2 };

/* Whether the transform leaves a grid of colours where it is, as that of any sRGB profile does. */
static bool
changes_nothing(cmsHTRANSFORM transform, int channels)
{
    for (int i = 0; i < 6 * 6 * 6; i++) {
        const uint8_t from[4] = {(uint8_t)(i % 6 * 51), (uint8_t)(i / 6 % 6 * 51),
                                 (uint8_t)(i / 36 * 51)};
        uint8_t to[4] = {0};
        cmsDoTransform(transform, from, to, 1);
        for (int c = 0; c < 3; c++)
            if (abs(to[c] - from[channels == 1 ? 0 : c]) > ROUNDING)
                return false;
    }
    return true;
}

/* The transform keeps the bytes per pixel, so that rows change in place and alpha stays. */
static void
use_profile(pf_photo *photo, cmsHPROFILE profile, bool grey)
{
    const cmsUInt32Number rgb = photo->channels == 4 ? TYPE_RGBA_8 : TYPE_RGB_8;
    const cmsUInt32Number first = COLORSPACE_SH(PT_GRAY) | CHANNELS_SH(1) | BYTES_SH(1) |
                                  EXTRA_SH(photo->channels - 1);
    const cmsColorSpaceSignature space = profile ? cmsGetColorSpace(profile) : 0;
    const bool one = space == cmsSigGrayData;
    cmsHPROFILE srgb;

    if (!profile) {
        pf_photo_remark(photo, "its colour profile cannot be read: taken as sRGB");
        return;
    }
    if ((space != cmsSigRgbData && !(one && grey)) || !(srgb = cmsCreate_sRGBProfile())) {
        pf_photo_remark(photo, "its colour profile is not for its pixels: taken as sRGB");
        return;
    }
    photo->color = cmsCreateTransform(profile, one ? first : rgb, srgb, rgb,
                                      INTENT_RELATIVE_COLORIMETRIC, 0);
    cmsCloseProfile(srgb);
    if (!photo->color)
        pf_photo_remark(photo, "its colour profile cannot be used: taken as sRGB");
    else if (changes_nothing(photo->color, one ? 1 : 3))
        pf_color_release(photo);
}

void
pf_color_from_icc(pf_photo *photo, const void *icc, size_t size, bool grey)
{
    cmsHPROFILE profile = cmsOpenProfileFromMem(icc, (cmsUInt32Number)size);

    use_profile(photo, profile, grey);
    if (profile)
        cmsCloseProfile(profile);
}

void
pf_color_from_chromaticities(pf_photo *photo, double exponent, const double (*xy)[2])
{
    static const double srgb[4][2] = {{.3127, .3290}, {.64, .33}, {.30, .60}, {.15, .06}};
    bool same = !exponent || fabs(exponent * 2.2 - 1) < 0.05;    /* as in libpng */

    for (int i = 0; i < 8; i++)
        same = same && (!xy || fabs(xy[i / 2][i % 2] - srgb[i / 2][i % 2]) < 0.01);
    if (same)
        return;
    if (!xy)
        xy = srgb;
    const cmsCIExyY white = {xy[0][0], xy[0][1], 1};
    const cmsCIExyYTRIPLE primaries = {{xy[1][0], xy[1][1], 1}, {xy[2][0], xy[2][1], 1},
                                       {xy[3][0], xy[3][1], 1}};
    const bool sane = exponent >= 0.1 && exponent <= 10;
    cmsToneCurve *curve = cmsBuildGamma(NULL, sane ? 1 / exponent : 2.2);
    cmsToneCurve *const curves[] = {curve, curve, curve};
    cmsHPROFILE profile = curve ? cmsCreateRGBProfile(&white, &primaries, curves) : NULL;
    use_profile(photo, profile, false);
    if (profile)
        cmsCloseProfile(profile);
    if (curve)
        cmsFreeToneCurve(curve);
}

void
pf_color_apply(const pf_photo *photo, uint8_t *row)
{
    cmsDoTransform(photo->color, row, row, (cmsUInt32Number)photo->width);
}

void
pf_color_release(pf_photo *photo)
{
    if (photo->color)
        cmsDeleteTransform(photo->color);
    photo->color = NULL;
}
