#include "dist/nccl/nccl_library.h"

#include "tests/dist/nccl/nccl_ranks.h"

namespace synthesizer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(NcclTest, TheLibrarySaysWhatItIs) {
  fake.set_version(22809);
  const NcclLibrary library;
  EXPECT_EQ(library.version(), 22809);
  EXPECT_EQ(library.name(), "NCCL 2.28.9 (" FAKE_NCCL ")");
}

TEST_F(NcclTest, AnOldLibraryIsRefused) {
  fake.set_version(21705);
  EXPECT_THAT(message_of([] { NcclLibrary(); }),
              AllOf(HasSubstr("[nccl] NCCL 2.17.5"), HasSubstr("expected 2.18.0 or newer")));
}

TEST_F(NcclTest, ALibraryThatIsNotThereIsNamed) {
  setenv("SYNTHESIZER_NCCL", "/nowhere/libnccl.so.2", 1);
  EXPECT_THAT(message_of([] { NcclLibrary(); }), AllOf(HasSubstr("[nccl] NCCL, which several GPUs need, was not found"),
                                                       HasSubstr("/nowhere/libnccl.so.2")));
}

}  // namespace
}  // namespace synthesizer
