#ifndef WINNOW_OPS_H
#define WINNOW_OPS_H

#include <stddef.h>

// A domain of operators for sessions whose operators take so many threads.
// Results are statuses of ONNX Runtime's C API, NULL for success.
typedef struct winnow_ops winnow_ops;
void *winnow_ops_new(void *const *api, size_t threads, winnow_ops **out);
void *winnow_ops_add(const winnow_ops *ops, void *session_options);
void winnow_ops_free(winnow_ops *ops);

#endif
