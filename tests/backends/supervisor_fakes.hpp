// Role: the children of the supervisor's tests: the test program itself, executed again as a minimal proxy or worker.
// Thread: processes of their own. Ownership: none.
#pragma once

namespace drover::backends::fakes {

/// Takes the start message, beats, answers drain; FAKE_PROXY=silent: beats only until it is ready; =inside: enters each gate it
/// sees open and stays. FAKE_WORKERS: workers per pool, "2,1".
int run_proxy();

/// Listens on PORT or SOCKET and answers 200. Arguments: "deaf" ignores TERM, "mute" never listens, "exit" ends at once with 3.
int run_worker(int argc, char** argv);

}  // namespace drover::backends::fakes
