// Role: the proxy process: takes what the supervisor sends over the control pipe, starts the threads, obeys drain and cut.
// Thread: the process's main thread; it touches no client byte. Ownership: owns boards, configuration and threads.
#pragma once

namespace drover::proxy {

/// `control`: the inherited end of the control pipe. Returns the process's exit code: 0 after a drain or when the supervisor is gone.
/// Opens no file: configuration, boards, listeners come as descriptors.
int run_proxy(int control);

}  // namespace drover::proxy
