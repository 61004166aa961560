/* import.h - a row of the tensor "material" of an imported mesh (raster.md, 2). */
#ifndef PF_IMPORT_H
#define PF_IMPORT_H

enum {                          /* columns; 0 to 3: the colour, RGBA */
    PF_IMPORT_CUTOFF = 4,
    PF_IMPORT_TEXTURE,          /* its number, -1: none */
    PF_IMPORT_WRAP,             /* enum pf_wrap along u; then along v */
    PF_IMPORT_TWO_SIDED = PF_IMPORT_WRAP + 2,
    PF_IMPORT_GLASS,            /* 1: is not drawn */
    PF_IMPORT_MATERIAL          /* columns in all */
};
#define PF_IMPORT_GLASS_BELOW 0.3f

#endif
