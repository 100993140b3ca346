#include "balancer/sticky.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>

namespace drover::balancer {

namespace {

constexpr std::size_t kSessionDigits = 16;
constexpr std::size_t kSignatureBytes = 16;  // of HMAC-SHA256's 32
constexpr std::size_t kMostValue = 10 + 1 + kSessionDigits + 1 + 2 * kSignatureBytes;
constexpr std::string_view kDigits = "0123456789abcdef";

/// The signature's hexadecimal digits; none: the library could not.
std::optional<std::array<char, 2 * kSignatureBytes>> signature(std::string_view key, std::string_view pool, std::string_view slot_and_session) {
  const std::string text = fmt::format("{}.{}", pool, slot_and_session);
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned length = 0;
  const auto* data = reinterpret_cast<const unsigned char*>(text.data());
  if (::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), data, text.size(), bytes.data(), &length) == nullptr ||
      length < kSignatureBytes) {
    return std::nullopt;
  }
  std::array<char, 2 * kSignatureBytes> digits{};
  for (std::size_t i = 0; i < kSignatureBytes; ++i) {
    digits[2 * i] = kDigits[bytes[i] >> 4U];
    digits[2 * i + 1] = kDigits[bytes[i] & 15U];
  }
  return digits;
}

template <class Number>
bool read_number(std::string_view text, int base, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string sticky_value(std::string_view key, std::string_view pool, const StickySession& session) {
  const std::string said = fmt::format("{}.{:016x}", session.slot, session.session);
  const auto signed_by = signature(key, pool, said);
  return signed_by ? fmt::format("{}.{}", said, std::string_view(signed_by->data(), signed_by->size())) : std::string();
}

std::optional<StickySession> read_sticky(std::string_view key, std::string_view pool, std::string_view value) {
  if (key.empty() || value.size() > kMostValue) return std::nullopt;
  const std::size_t first = value.find('.');
  const std::size_t second = first == std::string_view::npos ? first : value.find('.', first + 1);
  if (second == std::string_view::npos || second - first - 1 != kSessionDigits) return std::nullopt;
  const std::string_view given = value.substr(second + 1);
  // The signature first: of what bears none, nothing is looked at.
  const auto right = signature(key, pool, value.substr(0, second));
  if (!right || given.size() != right->size() || ::CRYPTO_memcmp(given.data(), right->data(), right->size()) != 0) return std::nullopt;
  StickySession session;
  if (!read_number(value.substr(0, first), 10, session.slot) || !read_number(value.substr(first + 1, kSessionDigits), 16, session.session)) {
    return std::nullopt;
  }
  return session;
}

std::string set_cookie(const config::Pool::Sticky& config, std::string_view value) {
  std::string text = fmt::format("{}={}; Path=/; HttpOnly; SameSite=Lax", config.cookie, value);
  // Attributes are added in whole seconds; less than one would end the cookie at once.
  if (config.age > base::Millis(0)) {
    text += fmt::format("; Max-Age={}", std::max<std::int64_t>(1, std::chrono::duration_cast<std::chrono::seconds>(config.age).count()));
  }
  if (config.secure) text += "; Secure";
  return text;
}

std::optional<std::string_view> find_cookie(std::string_view field, std::string_view name) {
  while (!field.empty()) {
    const std::size_t end = field.find(';');
    std::string_view pair = field.substr(0, end);
    field = end == std::string_view::npos ? std::string_view() : field.substr(end + 1);
    while (!pair.empty() && (pair.front() == ' ' || pair.front() == '\t')) pair.remove_prefix(1);
    while (!pair.empty() && (pair.back() == ' ' || pair.back() == '\t')) pair.remove_suffix(1);
    if (pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name)) return pair.substr(name.size() + 1);
  }
  return std::nullopt;
}

}  // namespace drover::balancer
