// Role: where the access log goes: opened by the supervisor, as its user, and lent to each proxy, which opens no file.
// Thread: supervisor's deciding thread. Ownership: owns what it opened; standard output is only borrowed.
#pragma once

#include "base/result.hpp"
#include "base/unique_fd.hpp"

#include <string>

namespace drover::backends {

class AccessFile {
 public:
  /// "-": standard output. A file is appended to; one that is made gets mode 0640. A FIFO needs no reader: until one comes the pipe's own room
  /// and the proxy's buffers hold the lines.
  static base::Result<AccessFile> open(std::string path);

  /// The same path once more, after its file was moved away. An error changes nothing.
  base::Result<void> reopen();
  int fd() const;
  const std::string& path() const { return path_; }
  bool is_output() const { return path_ == "-"; }

 private:
  AccessFile(std::string path, base::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  base::UniqueFd fd_;
};

}  // namespace drover::backends
