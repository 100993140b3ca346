// What one line of the access log costs a proxy's thread: made, put into the ring, counted. CPU time of that thread alone; the writer writes
// to /dev/null. Usage: access_line LINES [json|common|combined]
#include "proxy/access_sink.hpp"

#include <fcntl.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

using namespace drover;

namespace {

double thread_cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

proxy::AccessRecord browser_request() {
  proxy::AccessRecord record;
  record.id = "0123456789abcdef0123456789abcdef";
  record.client = "127.0.0.1";
  record.listener = "web";
  record.method = "GET";
  record.target = record.origin = "/index.html?item=7";
  record.host = "127.0.0.1:3000";
  record.protocol = "HTTP/1.1";
  record.status = 200;
  record.sent = 128;
  record.worker_us = 321;
  record.total_us = 345;
  record.pool = "shop";
  record.slot = record.incarnation = 1;
  record.user_agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
  return record;
}

}  // namespace

int main(int argc, char** argv) {
  const long lines = argc > 1 ? std::atol(argv[1]) : 0;
  const std::string_view format = argc > 2 ? argv[2] : "json";
  if (lines <= 0) return std::fprintf(stderr, "usage: access_line LINES [json|common|combined]\n"), 2;
  auto writer = proxy::AccessWriter::create(1, -1);
  if (!writer) return std::fprintf(stderr, "%s\n", writer.error().message.c_str()), 1;
  (*writer)->replace(base::UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)));
  static board::ThreadTally tally;
  using config::AccessFormat;
  proxy::AccessSink sink(**writer, 0,
                         format == "json"     ? AccessFormat::json
                         : format == "common" ? AccessFormat::common
                                              : AccessFormat::combined,
                         tally);
  proxy::AccessRecord record = browser_request();
  const double before = thread_cpu_ns();
  for (long i = 0; i < lines; ++i) {
    record.unix_us = sink.unix_us(base::TimePoint(std::chrono::microseconds(i * 10)));
    sink.write(record);
  }
  std::printf("%.0f ns a line; %llu handed over, %llu without room\n", (thread_cpu_ns() - before) / static_cast<double>(lines),
              static_cast<unsigned long long>(tally.access_lines.get()), static_cast<unsigned long long>(tally.access_dropped.get()));
  return 0;
}
