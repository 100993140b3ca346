// Role: the children of the supervisor's tests: the test program itself, executed again as a minimal proxy or worker.
// Thread: processes of their own. Ownership: none.
#pragma once

namespace drover::backends::fakes {

/// Takes the start message, beats, answers drain. FAKE_WORKERS: workers per pool, "2,1". FAKE_PROXY: a mode:
/// silent  beats only until it is ready;
/// inside  enters each gate it sees open with one request, "GET /stuck", and stays;
/// killer  the same, and counts a thousand other requests for each;
/// ring    stands in line and rings while the first pool is asleep.
int run_proxy();

/// Listens on PORT or SOCKET and answers 200. Arguments: "deaf" ignores TERM, "mute" never listens, "exit" ends at once with 3,
/// "unless=FILE" does so where FILE is, and says why. Paths: /abort, /print/LINE, /say/NOTIFICATION ("_" is a line's end).
int run_worker(int argc, char** argv);

}  // namespace drover::backends::fakes
