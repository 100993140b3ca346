#include "proxy/chunk_line.hpp"

#include <gtest/gtest.h>

#include <string>

namespace drover::proxy {
namespace {

TEST(FirstChunk, ALineAndItsData_HasBegun) {
  for (const std::string_view bytes : {"5\r\n", "5\r\nhello\r\n0\r\n\r\n", "00005\r\n", "fF;name=\"v\"\r\n", "5 ;a\r\nhe"}) {
    EXPECT_EQ(look_at_first_chunk(bytes), FirstChunk::begun) << bytes;
  }
}

TEST(FirstChunk, NoData_IsKnownOnceItsTrailerIsWhole) {
  for (const std::string_view bytes : {"0\r\n\r\n", "000\r\n\r\nGET /", "0;a=b\r\nX: y\r\n\r\n"})
    EXPECT_EQ(look_at_first_chunk(bytes), FirstChunk::empty) << bytes;
}

TEST(FirstChunk, EachBeginningOfAGoodOne_MayBecomeOne) {
  constexpr std::string_view kWhole = "0;a=\"b c\"\r\nX: y\r\nZ: w\r\n\r\n";
  for (std::size_t size = 0; size < kWhole.size(); ++size) EXPECT_EQ(look_at_first_chunk(kWhole.substr(0, size)), FirstChunk::incomplete) << size;
}

TEST(FirstChunk, WhatIsNoSize_IsKnownAtItsFirstWrongByte) {
  for (const std::string_view bytes :
       {"z", "0x", "+", "-1\r\n", " 5", "\r\n", "\n", "5\n", "5\r5", "5;a\rb", "5;a\n", "0\r\nX: y\n", "0\r\nX: y\rZ", "0\r\n\n", "_"}) {
    EXPECT_EQ(look_at_first_chunk(bytes), FirstChunk::malformed) << bytes;
  }
}

TEST(FirstChunk, ALineOrATrailerWithoutEnd_IsNotWaitedFor) {
  EXPECT_EQ(look_at_first_chunk(std::string(2000, '0')), FirstChunk::malformed);
  EXPECT_EQ(look_at_first_chunk("5;" + std::string(2000, 'x')), FirstChunk::malformed);
  EXPECT_EQ(look_at_first_chunk("0\r\nX: " + std::string(20'000, 'x')), FirstChunk::malformed);
}

}  // namespace
}  // namespace drover::proxy
