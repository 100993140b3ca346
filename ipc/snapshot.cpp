#include "ipc/snapshot.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace drover::ipc {

namespace {

void put(std::string& out, std::string_view text) {
  const auto length = static_cast<std::uint64_t>(text.size());
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  out.append(text);
}

bool take(std::string_view& bytes, std::string& text) {
  std::uint64_t length = 0;
  if (bytes.size() < sizeof length) return false;
  std::memcpy(&length, bytes.data(), sizeof length);
  bytes.remove_prefix(sizeof length);
  if (length > bytes.size()) return false;
  text = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return true;
}

}  // namespace

/// Texts, each with its length before it: the configuration, then names and contents by turns. Both sides are one program on one machine.
std::string encode(const Snapshot& snapshot) {
  std::string out;
  put(out, snapshot.config);
  for (const auto& [name, content] : snapshot.files) {
    put(out, name);
    put(out, content);
  }
  return out;
}

base::Result<Snapshot> decode_snapshot(std::string_view bytes) {
  Snapshot snapshot;
  bool whole = take(bytes, snapshot.config);
  while (whole && !bytes.empty()) {
    std::string name;
    std::string content;
    whole = take(bytes, name) && take(bytes, content);
    snapshot.files.insert_or_assign(std::move(name), std::move(content));
  }
  if (!whole) return base::Error{"the snapshot is cut short", EPROTO};
  return snapshot;
}

}  // namespace drover::ipc
