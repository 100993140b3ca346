// Which pool takes what another one can't: a chain that ends.
#include "config/judge.hpp"
#include "config/keys.hpp"
#include "config/values.hpp"

#include <algorithm>

namespace drover::config {

namespace {

class Spills {
 public:
  Spills(Judge& judge, const std::map<std::string, std::string>& written) : judge_(judge), written_(written) {}

  void run() {
    for (Pool& each : judge_.config.pools) named(each);
    for (const Pool& each : judge_.config.pools) ends(each);
  }

 private:
  static std::string key(const Pool& pool) { return "pool." + pool.name + ".spill_to"; }
  void mistake(const Pool& pool, const std::string& what, std::string hint) {
    judge_.mistake(place_of(judge_.config, key(pool)), "spill_to: " + what, std::move(hint));
  }
  void named(Pool& pool);
  void ends(const Pool& pool);

  Judge& judge_;
  const std::map<std::string, std::string>& written_;
};

void Spills::named(Pool& pool) {
  const auto written = written_.find(pool.name);
  if (written == written_.end() || !judge_.clean(key(pool))) return;
  const auto& pools = judge_.config.pools;
  const auto found = std::ranges::find(pools, written->second, &Pool::name);
  if (found == pools.end()) {
    std::vector<std::string_view> names;
    for (const Pool& each : pools) {
      if (&each != &pool) names.push_back(each.name);
    }
    return mistake(pool, "there is no pool " + quoted(written->second),
                   names.empty() ? "add it, or take the line out" : suggest(written->second, names));
  }
  if (&*found == &pool) return mistake(pool, "the pool itself", "name another pool, or take the line out");
  for (const Pool* each : {static_cast<const Pool*>(&pool), &*found}) {
    if (each->dispatch == Dispatch::proxy) continue;
    if (!judge_.clean("pool." + each->name + ".dispatch")) return;
    return mistake(pool, "no request of [pool." + each->name + "] passes the proxy",
                   "only pools with dispatch = \"proxy\" can take each other's requests");
  }
  pool.spill_to = static_cast<std::uint32_t>(found - pools.begin());
}

/// Each pool of a ring is told once, where it stands.
void Spills::ends(const Pool& pool) {
  const auto& pools = judge_.config.pools;
  std::string way = pool.name;
  const Pool* at = &pool;
  for (std::size_t steps = 0; at->spill_to; ++steps) {
    at = &pools[*at->spill_to];
    way += " → " + at->name;
    if (at == &pool) return mistake(pool, "leads back to where it began: " + way, "one of these pools must not spill");
    if (steps >= pools.size()) return;  // a ring further on: told there
    if (steps == kMaxSpills)
      return mistake(pool, "more than " + std::to_string(kMaxSpills) + " pools one after the other: " + way, "spill to the last of them");
  }
}

}  // namespace

void validate_spills(Judge& judge, const std::map<std::string, std::string>& spills) { Spills(judge, spills).run(); }

}  // namespace drover::config
