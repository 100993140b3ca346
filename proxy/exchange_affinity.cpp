// What of a request bears on the choice of its worker: its hash, its sticky cookie.
#include "balancer/rendezvous.hpp"
#include "balancer/sticky.hpp"
#include "proxy/client_session.hpp"
#include "proxy/exchange.hpp"
#include "proxy/proxy_thread.hpp"

#include <algorithm>

namespace drover::proxy {

namespace {

/// What the worker says of this answer's way through caches that serve more than one client.
struct Sharing {
  bool allowed = false;    ///< said to be for everybody
  bool forbidden = false;  ///< said to be for one client
};

Sharing sharing_of(const ResponseHead& response) {
  Sharing sharing;
  for (const Field& field : response.fields()) {
    if (field.id != http::field::cache_control) continue;
    for_each_token(field.value, [&](std::string_view token) {
      const auto is = [&](std::string_view name) { return equal_ignoring_case(token.substr(0, token.find('=')), name); };
      sharing.allowed = sharing.allowed || is("public") || is("s-maxage");
      // With an argument, private speaks of some fields only.
      sharing.forbidden = sharing.forbidden || is("no-store") || equal_ignoring_case(token, "private");
    });
  }
  return sharing;
}

}  // namespace

/// For the pool that it has come to: called anew for the next one when it goes on to another.
void Exchange::note_affinity() {
  ask_.now_ns = thread_.now_ns();
  ask_.hash = thread_.claimer(pool_).strategy().wants_hash ? request_hash() : 0;
  ask_.slot = 0;
  ask_.session = 0;
  wants_cookie_ = !pool_config_->sticky.cookie.empty() && !read_session();
}

/// Of what the pool's `hash.by` names; where the request has no such thing, of its client's address.
std::uint64_t Exchange::request_hash() const {
  using By = config::Pool::HashBy;
  const config::Pool::Hash& hash = pool_config_->hash;
  if (hash.by == By::path) return balancer::hash_of(head_.path());
  if (hash.by == By::header || hash.by == By::cookie) {
    for (const Field& field : head_.fields()) {
      if (hash.by == By::cookie) {
        if (field.id != http::field::cookie) continue;
        if (const auto value = balancer::find_cookie(field.value, hash.name)) return balancer::hash_of(*value);
      } else if (equal_ignoring_case(field.name, hash.name)) {
        return balancer::hash_of(field.value);
      }
    }
  }
  // A Unix socket's clients have no address: they take turns.
  return session_.peer().empty() ? 0 : balancer::hash_of(session_.peer());
}

/// False: the client has no cookie that drover has signed for this pool.
bool Exchange::read_session() {
  for (const Field& field : head_.fields()) {
    if (field.id != http::field::cookie) continue;
    const auto value = balancer::find_cookie(field.value, pool_config_->sticky.cookie);
    if (!value) continue;
    const auto session = balancer::read_sticky(thread_.sticky_key(pool_), pool_config_->name, *value);
    if (!session) continue;
    ask_.slot = session->slot;
    ask_.session = session->session;
    return true;
  }
  return false;
}

/// For a client that has none: the field value of a cookie that names this worker. An answer that the worker means for everybody gets
/// none: whoever had it out of a shared cache would have this client's session (RFC 9111 section 7.3).
void Exchange::add_cookie(ReplyFacts& facts) {
  if (!wants_cookie_ || thread_.sticky_key(pool_).empty()) return;
  const Sharing sharing = sharing_of(*response_);
  if (sharing.allowed && !sharing.forbidden) return;
  const balancer::StickySession session{lease_.slot, std::max<std::uint64_t>(thread_.lot(), 1)};
  cookie_ = balancer::set_cookie(pool_config_->sticky, balancer::sticky_value(thread_.sticky_key(pool_), pool_config_->name, session));
  facts.set_cookie = cookie_;
  facts.make_private = !sharing.forbidden;
}

}  // namespace drover::proxy
