// Role: an answer that comes line by line, for as long as there is something to tell.
// Thread: supervisor. Ownership: a session owns its source; a source refers to the cluster's journals and must go before them.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace drover::admin {

enum class Pulled {
  more,  ///< there is more to pull now
  wait,  ///< the bell rings when there is
  end,   ///< nothing will follow
};

class LineSource {
 public:
  static constexpr std::size_t kEnough = 16 * 1024;  ///< a pull ends once it has given that much; a line may go beyond it

  LineSource() = default;
  LineSource(const LineSource&) = delete;
  LineSource& operator=(const LineSource&) = delete;
  virtual ~LineSource() = default;

  /// Appends whole lines to `out`. Bounded work: what one turn of the loop can bear.
  virtual Pulled pull(std::string& out) = 0;
  /// `bell` may be called from the middle of anything: it must only note the fact.
  virtual void listen(std::function<void()> bell) = 0;
  /// The cluster has ended: what is there already, then the end.
  virtual void wind_up() = 0;
};

}  // namespace drover::admin
