// Runs a fuzz target without libFuzzer: each file of its corpus, then mutations of them; as many as told, the same for the same seed.
// usage: <target> RUNS SEED CORPUS…, each a folder or a file. A crash leaves its input in <target>.crash: `<target> 0 1 <target>.crash` runs it
// again.

#include "base/rng.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kMaxInput = 8 * 1024;

using Input = std::vector<std::uint8_t>;

std::vector<Input> corpus_of(std::span<char*> places) {
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path place : places) {
    if (std::filesystem::is_directory(place)) {
      for (const auto& entry : std::filesystem::directory_iterator(place)) files.push_back(entry.path());
    } else {
      files.push_back(place);
    }
  }
  std::sort(files.begin(), files.end());  // the same runs on every machine
  std::vector<Input> out;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  return out;
}

/// One small change: a byte, a piece doubled, taken out or moved over from another input.
void mutate(Input& input, const std::vector<Input>& corpus, drover::base::Rng& rng) {
  static constexpr std::uint8_t kTelling[] = {'\n', '\r', '\t', ' ',  '"', '{', '}', '[', ']',  ',',  ':',  ';',
                                              '=',  '/',  '_',  '\\', '0', '-', 'e', 0,   0x7f, 0x80, 0xc3, 0xff};
  const std::size_t at = input.empty() ? 0 : rng.below(input.size());
  const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
  const auto most = static_cast<std::ptrdiff_t>(input.empty() ? 0 : std::min<std::uint64_t>(input.size() - at, 1 + rng.below(64)));
  switch (rng.below(6)) {
    case 0:
      if (!input.empty()) *place = static_cast<std::uint8_t>(rng.next());
      break;
    case 1:
      if (!input.empty()) *place ^= static_cast<std::uint8_t>(1U << rng.below(8));
      break;
    case 2: input.insert(place, kTelling[rng.below(std::size(kTelling))]); break;
    case 3: input.erase(place, place + most); break;
    case 4: {
      const Input piece(place, place + most);
      const std::uint64_t times = 1 + rng.below(8);
      for (std::uint64_t i = 0; i < times; ++i) input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
      break;
    }
    default: {
      const Input& other = corpus[rng.below(corpus.size())];
      if (other.empty()) break;
      const auto from = other.begin() + static_cast<std::ptrdiff_t>(rng.below(other.size()));
      const auto size = std::min<std::ptrdiff_t>(other.end() - from, static_cast<std::ptrdiff_t>(1 + rng.below(256)));
      input.insert(place, from, from + size);
    }
  }
  if (input.size() > kMaxInput) input.resize(kMaxInput);
}

/// Written before it runs: nothing can be written after a crash.
class LastInput {
 public:
  explicit LastInput(std::string path) : file_(std::fopen(path.c_str(), "wb")), path_(std::move(path)) {}
  ~LastInput() {
    if (file_ != nullptr) std::fclose(file_);
    std::remove(path_.c_str());
  }
  LastInput(const LastInput&) = delete;
  void run(const Input& input) {
    if (file_ != nullptr) {
      std::rewind(file_);
      if (!input.empty()) std::fwrite(input.data(), 1, input.size(), file_);
      std::fflush(file_);
      std::error_code ignored;
      std::filesystem::resize_file(path_, input.size(), ignored);
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }

 private:
  std::FILE* file_;
  std::string path_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s RUNS SEED CORPUS...\n", argv[0]);
    return 2;
  }
  const auto corpus = corpus_of(std::span(argv, static_cast<std::size_t>(argc)).subspan(3));
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no corpus in %s\n", argv[0], argv[3]);
    return 2;
  }
  const std::uint64_t runs = std::strtoull(argv[1], nullptr, 10);
  drover::base::Rng rng(std::strtoull(argv[2], nullptr, 10));
  LastInput last(argv[0] + std::string(".crash"));
  for (const Input& input : corpus) last.run(input);
  for (std::uint64_t i = 0; i < runs; ++i) {
    Input input = corpus[rng.below(corpus.size())];
    for (std::uint64_t changes = 1 + rng.below(6); changes > 0; --changes) mutate(input, corpus, rng);
    last.run(input);
  }
  std::printf("%zu inputs, %llu mutations\n", corpus.size(), static_cast<unsigned long long>(runs));
  return 0;
}
