// Role: what a route changes: fields of a head (taken out, set, added), and the path of a target (a prefix off, a prefix before).
//       What frames a message or belongs to a connection is never touched; Host can only be set, and only towards a worker.
// Thread: one proxy thread; pure but for the buffer. Ownership: borrows the configuration.
#pragma once

#include "config/model.hpp"
#include "proxy/buffer.hpp"

#include <cstdint>
#include <string_view>

namespace drover::proxy {

/// Of one head. Without changes every question costs one comparison.
class HeadEdits {
 public:
  /// To a gateway interface "X-User", "X_User" and perhaps "X.User" are one name: towards a worker each stands for the others.
  enum class Side : std::uint8_t { worker, client };

  HeadEdits() = default;
  HeadEdits(const config::HeaderEdits* edits, Side side)
      : edits_(edits == nullptr || (edits->remove.empty() && edits->set.empty() && edits->add.empty()) ? nullptr : edits), side_(side) {}

  /// Is a field of that name not sent, because it is taken out or set?
  bool drops(std::string_view name) const { return edits_ != nullptr && listed(name); }
  /// Is one of that name sent by append()?
  bool brings(std::string_view name) const;
  /// The Host that is set; empty: none.
  std::string_view host() const;
  /// What is set and added.
  void append(Buffer& out) const;

 private:
  bool listed(std::string_view name) const;
  bool same(std::string_view a, std::string_view b) const;

  const config::HeaderEdits* edits_ = nullptr;
  Side side_ = Side::worker;
};

/// A path as the worker (or a redirect's target) gets it: `before`, then `slash`, then `rest`. It begins with '/'.
struct WorkerPath {
  std::string_view before;
  std::string_view slash;
  std::string_view rest;      ///< of the path as sent
  std::string_view stripped;  ///< the prefix that was taken off, as configured, without '/' at its end
};
WorkerPath worker_path(std::string_view path, const config::Route& route);

}  // namespace drover::proxy
