#include "base/text.hpp"
#include "config/judge.hpp"
#include "config/values.hpp"

#include <array>
#include <cmath>

namespace drover::config {

namespace {

/// Of one pool; `path` is "pool.shop".
class PoolJudge {
 public:
  PoolJudge(Judge& judge, const Pool& pool) : judge_(judge), pool_(pool), path_("pool." + pool.name + ".") {}

  void run() {
    restart();
    probes();
    recycle();
    rolling();
    outlier();
    quiet_keys();
  }

 private:
  bool clean(const std::string& key) const { return judge_.clean(path_ + key); }
  bool given(const std::string& key) const { return judge_.given(path_ + key); }
  void warn(const std::string& key, const std::string& what) { judge_.warn(path_ + key, what); }
  std::uint32_t most() const { return pool_.workers_max.value_or(pool_.workers); }

  void restart();
  void probes();
  void recycle();
  void above_limit(const char* key, const std::optional<Bytes>& bytes);
  void rolling();
  void outlier();
  void quiet_keys();

  Judge& judge_;
  const Pool& pool_;
  std::string path_;
};

void PoolJudge::restart() {
  const auto& [delay, max_delay] = std::pair(pool_.restart.delay, pool_.restart.max_delay);
  if (!clean("restart.delay") || !clean("restart.max_delay") || delay <= max_delay) return;
  judge_.mistake(judge_.either(path_ + "restart.delay", path_ + "restart.max_delay"),
                 "delay (" + base::to_text(delay) + ") is longer than max_delay (" + base::to_text(max_delay) + ")",
                 "delay doubles until it is max_delay: raise max_delay or lower delay");
}

void PoolJudge::probes() {
  const auto probe = [this](const std::string& table, const auto& values, const auto& defaults) {
    if (given(table + ".http")) return;
    const auto vain = [&](const std::string& name) { warn(name, name + " does nothing without http = \"/…\""); };
    if (values.status != defaults.status) vain(table + ".status");
    if (!values.host.empty()) vain(table + ".host");
  };
  probe("ready", pool_.ready, Pool::Ready{});
  probe("health", pool_.health, Pool::Health{});
}

void PoolJudge::recycle() {
  const auto& [memory, hard] = std::pair(pool_.recycle.memory, pool_.recycle.hard_memory);
  if (memory && hard && clean("recycle.memory") && clean("recycle.hard_memory") && *memory > *hard) {
    judge_.mistake(judge_.either(path_ + "recycle.memory", path_ + "recycle.hard_memory"),
                   "recycle: memory (" + base::to_text(*memory) + ") is more than hard_memory (" + base::to_text(*hard) + ")",
                   "memory comes first and lets the worker finish: lower it, or raise hard_memory");
  }
  above_limit("recycle.memory", memory);
  above_limit("recycle.hard_memory", hard);
}

/// What is recycled at a size that it can't reach is never recycled.
void PoolJudge::above_limit(const char* key, const std::optional<Bytes>& bytes) {
  const auto& limit = pool_.limits.memory;
  if (!bytes || !limit || !clean(key) || !clean("limits.memory") || *bytes < *limit) return;
  warn(key, std::string(key) + " (" + base::to_text(*bytes) + ") is not below limits.memory (" + base::to_text(*limit) +
                "): the worker fails there before it is recycled");
}

void PoolJudge::rolling() {
  const Pool::Rolling& rolling = pool_.rolling;
  if (!clean("rolling.max_surge") || !clean("rolling.max_unavailable")) return;
  if (rolling.max_surge == 0 && rolling.max_unavailable == 0) {
    return judge_.mistake(judge_.either(path_ + "rolling.max_unavailable", path_ + "rolling.max_surge"),
                          "rolling: max_surge and max_unavailable are both 0",
                          "with neither a worker more nor one less none can be replaced: max_surge = 1, or max_unavailable = 1");
  }
  if (clean("workers") && rolling.max_unavailable >= pool_.workers) {
    warn("rolling.max_unavailable",
         "rolling.max_unavailable (" + std::to_string(rolling.max_unavailable) + ") may take " +
             (pool_.workers == 1 ? "the pool's only worker" : "all " + std::to_string(pool_.workers) + " workers of the pool") + " away at once");
  }
}

void PoolJudge::outlier() {
  const double share = pool_.outlier.eject_max;
  if (share == Pool::Outlier{}.eject_max || !clean("outlier.eject_max") || !clean("workers")) return;
  if (share == 0 || std::floor(most() * share / 100) >= 1) return;
  warn("outlier.eject_max",
       "outlier.eject_max: " + number_text(share) + "% of " + std::to_string(most()) + " workers is less than one: none will ever be ejected");
}

/// Keys that say nothing without another one. A default that is said aloud is nobody's mistake.
void PoolJudge::quiet_keys() {
  const Pool::Recycle& recycle = pool_.recycle;
  if (recycle.jitter != Pool::Recycle{}.jitter && !given("recycle.memory") && !recycle.requests && !recycle.age) {
    warn("recycle.jitter", "recycle.jitter does nothing without memory, requests or age");
  }
  if (pool_.hang.signal != Pool::Hang{}.signal && !given("hang.after")) warn("hang.signal", "hang.signal does nothing without after = \"30s\"");
  if (pool_.idle_stop && clean("idle_stop") && clean("queue.max") && pool_.queue.max == 0) {
    warn("idle_stop", "idle_stop: the request that wakes the pool can't wait, since queue.max is 0: it will be answered 503");
  }
}

}  // namespace

void validate_pool(Judge& judge, const Pool& pool) { PoolJudge(judge, pool).run(); }

}  // namespace drover::config
