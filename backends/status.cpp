#include "backends/status.hpp"

namespace drover::backends {

const char* to_text(Lifecycle value) {
  switch (value) {
    case Lifecycle::starting: return "starting";
    case Lifecycle::running: return "running";
    case Lifecycle::draining: return "draining";
    case Lifecycle::stopping: return "stopping";
    case Lifecycle::stopped: return "stopped";
    case Lifecycle::backoff: return "backoff";
    case Lifecycle::failed: return "failed";
  }
  return "unknown";
}

const char* to_text(Health value) {
  switch (value) {
    case Health::unknown: return "unknown";
    case Health::passing: return "passing";
    case Health::failing: return "failing";
  }
  return "unknown";
}

const char* to_text(Intent value) {
  switch (value) {
    case Intent::enabled: return "enabled";
    case Intent::drained: return "drained";
  }
  return "unknown";
}

}  // namespace drover::backends
