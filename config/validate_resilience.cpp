// Breaker, sticky cookie and hash of one pool: what each needs of the others, and of the strategy.
#include "config/judge.hpp"
#include "config/values.hpp"

namespace drover::config {

namespace {

class ResilienceJudge {
 public:
  ResilienceJudge(Judge& judge, const Pool& pool) : judge_(judge), pool_(pool), path_("pool." + pool.name + ".") {}

  void run() {
    breaker();
    sticky();
    hash();
    timeouts();
    if (pool_.dispatch != Dispatch::proxy && clean("dispatch")) past_the_proxy();
  }

 private:
  bool clean(const std::string& key) const { return judge_.clean(path_ + key); }
  bool given(const std::string& key) const { return judge_.given(path_ + key); }
  void mistake(const std::string& key, const std::string& what, std::string hint) {
    if (clean(key)) judge_.mistake(place_of(judge_.config, path_ + key), key + ": " + what, std::move(hint));
  }
  void warn(const std::string& key, const std::string& what) {
    if (clean(key)) judge_.warn(path_ + key, key + what);
  }
  void breaker();
  void sticky();
  void hash();
  void timeouts();
  void past_the_proxy();

  Judge& judge_;
  const Pool& pool_;
  std::string path_;
};

void ResilienceJudge::breaker() {
  Pool::Breaker usual;
  usual.errors = pool_.breaker.errors;
  if (pool_.breaker.errors == 0 && pool_.breaker != usual && clean("breaker.errors")) warn("breaker", " does nothing without errors = \"50%\"");
}

void ResilienceJudge::sticky() {
  const Pool::Sticky& sticky = pool_.sticky;
  if (sticky.cookie.empty()) return;
  if (pool_.dispatch != Dispatch::proxy && clean("dispatch")) {
    return mistake("sticky", "needs a cookie, and no request of this pool passes the proxy", "take sticky out, or write dispatch = \"proxy\"");
  }
  const bool secure_name = sticky.cookie.starts_with("__Secure-") || sticky.cookie.starts_with("__Host-");
  if (secure_name && !sticky.secure && clean("sticky.secure")) {
    mistake("sticky.cookie", quoted(sticky.cookie) + " is taken by no browser without Secure", "add secure = true, or choose another name");
  }
  if (pool_.strategy == "consistent-hash" && clean("strategy")) {
    warn("sticky", ": a client that brings the cookie goes by it; strategy consistent-hash is for the others");
  }
}

void ResilienceJudge::hash() {
  const Pool::Hash& hash = pool_.hash;
  const bool named = hash.by == Pool::HashBy::header || hash.by == Pool::HashBy::cookie;
  if (clean("hash.by") && clean("hash.name")) {
    if (named && hash.name.empty()) {
      mistake("hash.by", "by what name?",
              hash.by == Pool::HashBy::header ? "like hash = { by = \"header\", name = \"X-Tenant\" }"
                                              : "like hash = { by = \"cookie\", name = \"session\" }");
    } else if (!named && !hash.name.empty()) {
      mistake("hash.name", "an address or a path has none", "take name out, or write by = \"header\" or by = \"cookie\"");
    }
  }
  if (!clean("strategy")) return;
  const bool used = pool_.strategy == "consistent-hash";
  if (!used && hash != Pool::Hash{}) warn("hash", " does nothing without strategy = \"consistent-hash\"");
  if (used && pool_.dispatch == Dispatch::handoff && hash.by != Pool::HashBy::address) {
    mistake("hash.by", "a connection is passed on before its first request is read", "with dispatch = \"handoff\" only the address is known");
  }
}

void ResilienceJudge::timeouts() {
  if (pool_.slow_start > Millis(0) && pool_.workers == 1 && !pool_.workers_max && clean("workers")) {
    warn("slow_start", " does nothing for a pool's only worker");
  }
}

/// Values, not words: a default that is said aloud is nobody's mistake.
void ResilienceJudge::past_the_proxy() {
  const auto vain = [&](const char* key, bool said) {
    if (said) warn(key, std::string(" does nothing: no request of this pool passes the proxy"));
  };
  vain("breaker", pool_.breaker.errors > 0);
  vain("errors", !pool_.errors.empty());
  vain("queue.order", pool_.queue.order != Pool::QueueOrder::oldest);
  vain("slow_start", pool_.slow_start > Millis(0) && pool_.dispatch == Dispatch::shared);
  if (pool_.strategy == "least-latency" && pool_.dispatch == Dispatch::handoff && clean("strategy")) {
    mistake("strategy", "\"least-latency\" needs to see answers, and none of this pool passes the proxy", "\"least-connections\" comes near to it");
  }
}

}  // namespace

void validate_resilience(Judge& judge, const Pool& pool) { ResilienceJudge(judge, pool).run(); }

}  // namespace drover::config
