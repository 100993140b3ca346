// Any bytes as a cluster.toml. Mistakes stand inside the file and can be shown; what is taken can be written out and means the same when it
// is read again.

#include "config/effective.hpp"
#include "config/parse.hpp"
#include "must.hpp"

#include <algorithm>
#include <string>

namespace {

using namespace drover;
using fuzz::must;

constexpr unsigned kCpus = 4;

void check_mistakes(const config::Mistakes& mistakes, std::string_view text) {
  must(!mistakes.list.empty(), "refused without a reason");
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  for (const auto& each : mistakes.list) {
    must(each.line <= lines, "a mistake stands behind the file's end");
    must(each.line == 0 || each.column > 0, "a mistake has a line but no column");
    must(each.column <= text.size() + 2, "a mistake stands behind its line's end");
    must(!each.what.empty(), "a mistake says nothing");
  }
  must(config::render(mistakes).ends_with("; nothing was started\n"), "mistakes are not shown to their end");
}

void check_round_trip(const config::Config& first) {
  const std::string written = config::effective(first, config::Secrets::shown);
  const auto second = config::parse(written, "cluster.toml", 1);
  must(second.has_value(), "what was written out is refused");
  must(second->cluster == first.cluster && second->admin == first.admin && second->log == first.log && second->proxy == first.proxy,
       "written out, the cluster is another");
  must(second->listeners == first.listeners, "written out, listeners are others");
  must(second->pools == first.pools, "written out, pools are others");
  must(second->routes == first.routes, "written out, routes are others");
  must(config::effective(*second, config::Secrets::shown) == written, "written out twice, the text is another");
  (void)config::effective(first);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  const auto result = config::parse(text, "cluster.toml", kCpus);
  if (!result) {
    check_mistakes(result.error(), text);
    return 0;
  }
  must(!result->pools.empty() && !result->listeners.empty(), "a cluster without a pool or a listener");
  for (const auto& route : result->routes) {
    must(route.pool < result->pools.size(), "a route leads nowhere");
    for (const auto& part : route.split) must(part.pool < result->pools.size(), "a part of a route leads nowhere");
  }
  check_round_trip(*result);
  return 0;
}
