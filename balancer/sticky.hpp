// Role: the cookie of a sticky pool: names a slot and a session, signed, so that nobody can choose a worker by writing one.
// Thread: any; pure. Ownership: the key is the caller's.
//
// Value: "SLOT.SESSION.SIGNATURE", SESSION 16 hexadecimal digits by lot, SIGNATURE the first 128 bits of HMAC-SHA256 over
// "POOL.SLOT.SESSION" in hexadecimal. RFC 6265 section 4.1 is its syntax in Set-Cookie.
#pragma once

#include "config/model.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover::balancer {

struct StickySession {
  std::uint32_t slot = 0;
  std::uint64_t session = 0;
};

/// The value for `pool`; `key` is the secret.
std::string sticky_value(std::string_view key, std::string_view pool, const StickySession& session);
/// None: of another pool or key, altered, or no such value. Compares in constant time.
std::optional<StickySession> read_sticky(std::string_view key, std::string_view pool, std::string_view value);
/// The whole field value: name=value; Path=/; HttpOnly; SameSite=Lax, and as configured Max-Age and Secure.
std::string set_cookie(const config::Pool::Sticky& config, std::string_view value);
/// The first cookie of that name in a Cookie field's value (RFC 6265 section 4.2.1); none: not there.
std::optional<std::string_view> find_cookie(std::string_view field, std::string_view name);

}  // namespace drover::balancer
