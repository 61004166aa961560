/* random_weights - a checkpoint of a configuration's size, all of it random, in F16: to time
 * networks whose trained weights are not at hand.  Every layer keeps its input's scale, nearly.
 *
 *     make bench
 *     build/release/tests/bench/random_weights -c configs/posefusion.yaml -o model.safetensors */
#include "common/opt.h"
#include "common/output.h"
#include "tests/tools/pf-sample/random_model.h"

int
main(int argc, char *argv[])
{
    static const struct pf_opt opts[] = {PF_OPT_END};
    struct maker m = {.dtype = PF_F16};
    pf_output *out;
    pf_start(&argc, &argv, "", "Write a checkpoint of random weights.", opts);
    pf_must(pf_output_open(&out, pf_common.out));
    make_model(&m, &pf_conf);
    pf_must(pf_doc_write(&m.doc, pf_output_file(out)));
    pf_must(pf_output_close(out));
    pf_doc_release(&m.doc);
    return 0;
}
