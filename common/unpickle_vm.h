/* unpickle_vm.h - between the two halves of the unpickler: the stack machine (unpickle.c) and what
 * it may name and construct (unpickle_torch.c).  Of no use to others. */
#ifndef PF_UNPICKLE_VM_H
#define PF_UNPICKLE_VM_H
#include "common/unpickle.h"

struct pf_vm;                   /* opaque here: the machine at its current byte */

/* unpickle.c: fail with the position; zeroed memory, values, elements that live with the pickle. */
pf_err pf_vm_bad(const struct pf_vm *vm, const char *what);
pf_err pf_vm_take(struct pf_vm *vm, void *pointer, size_t bytes) PF_MUST_USE;
pf_err pf_vm_new(struct pf_vm *vm, pf_py **v, enum pf_py_kind kind) PF_MUST_USE;
pf_err pf_vm_append(struct pf_vm *vm, pf_py *list, pf_py *const *item, size_t n) PF_MUST_USE;

/* unpickle_torch.c: whether the pickle may name this; a storage from its persistent id; what
 * calling a class with these arguments would give: a placeholder if it is not a known one. */
pf_err pf_vm_check_global(const pf_py *global) PF_MUST_USE;
pf_err pf_vm_storage(struct pf_vm *vm, pf_py **v, const pf_py *id) PF_MUST_USE;
pf_err pf_vm_call(struct pf_vm *vm, pf_py **v, const pf_py *what, pf_py *args) PF_MUST_USE;

bool pf_py_text_is(struct pf_py_text text, const char *s);
/* "module.name" into buf for messages (cleaned: text.h), and buf back. */
const char *pf_py_global_name(char *buf, size_t size, const pf_py *global);

#endif
