// Package runtime runs training and inference graphs on ONNX Runtime.
//
// It owns everything that touches the native library: finding and loading it,
// execution providers, sessions, and the values that live on the device. It is
// the only package that imports onnxruntime_go and the only one with cgo.
// It refuses to know what a model, a data set or a pruner is: it is handed
// graph bytes, names, shapes and buffers, and imports no package of this
// project. Import it as ortrun, because the standard library has the name too.
//
// # Terms
//
//   - Device: one execution provider, opened once per process run.
//   - State: the tensors that a training graph both reads and replaces
//     (parameters, running statistics, optimizer moments).
//   - Side: one of the two sets of buffers a State has. A step reads the
//     current side and writes the other, then they change roles. No step ever
//     reads and writes one buffer, and none copies a state tensor.
//   - Profile: the time of each node of a session's graph, by ONNX Runtime's
//     own profiler. Sessions have none unless asked for.
//   - Capture: the CUDA provider's recording of one side's step, replayed from
//     then on; only for batches of the largest size, and asked for.
//   - Pinned memory: host memory that the device reads and writes by itself, the
//     provider's own; everything that crosses is in it where there is any.
//   - Block: the sums of a step in two halves as one tensor, which processes add up.
//   - Slot: the name, type and shape of one graph input or output.
//   - Batch dimension: the -1 in a slot's shape; it is the N of the step.
//
// # Ownership
//
// A Device owns the native side of every State, Trainer and Evaluator made
// from it and closes what is still open when it is closed itself. A Trainer or
// Evaluator uses a State and must be closed before it. Slices handed out by
// Step and Run belong to the package and are overwritten by the next call.
// The library is loaded once and stays loaded until the process ends.
//
// A State and what was made for it serve one goroutine at a time.
//
// Results on the CPU provider repeat to the bit for one thread count on one
// kind of machine. The CUDA provider sums with atomics and does not promise
// that.
//
// Supported systems are those with dlopen and little-endian memory: Linux and
// macOS, x86-64 and arm64.
package runtime
