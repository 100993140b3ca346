// Role: the Unix socket that the command line talks to: made so that nobody but its owner ever gets at it, and so that two drovers
//       can't take the same one.
// Thread: supervisor, before any worker is started. Ownership: owns the listening socket until it is taken, the lock and the path; removes the path
// at its
//         end if it is still the socket made here.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "base/units.hpp"

#include <sys/types.h>

#include <string>

namespace drover::admin {

class CommandSocket {
 public:
  static constexpr base::Millis kPatience{2000};  ///< ample for a drover that was killed to end its workers

  /// Binds `path`, mode 0600, and listens. `make_folder`: its folder is drover's own default: made if it is missing, and nobody else
  /// may be able to enter it. Error: another drover answers there, or holds the lock beside it; somebody else's folder; no permission.
  /// `patience`: how long a lock that is held by nobody who answers is waited for; blocks, so only at start.
  static base::Result<CommandSocket> open(const std::string& path, bool make_folder, base::Millis patience = kPatience);

  CommandSocket(CommandSocket&&) noexcept = default;
  CommandSocket& operator=(CommandSocket&&) = delete;
  ~CommandSocket();

  base::UniqueFd take() { return std::move(listening_); }
  const std::string& path() const { return path_; }

 private:
  CommandSocket() = default;

  std::string path_;
  base::UniqueFd listening_;
  base::UniqueFd lock_;  ///< path + ".lock", held: who has it owns the path
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace drover::admin
