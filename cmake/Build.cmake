# Compiler settings and the two functions that every folder's CMakeLists.txt uses.

option(SYNTHESIZER_TESTS "Build the tests" ON)
set(SYNTHESIZER_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize takes them: address,undefined or thread")
option(SYNTHESIZER_GPU_TESTS "Build the tests that run on a GPU: tests/gpu" OFF)
option(SYNTHESIZER_PRODUCT_LIBRARIES "Matrix products of the CPU by oneDNN and OpenBLAS; without: by plain loops, but by panels as ever" ON)
option(SYNTHESIZER_FUZZ "Build the fuzz targets of tests/fuzz with libFuzzer, which only clang has" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
# CHECKs stay in release builds: no NDEBUG.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
# nvcc takes none of these, and what it makes of a source for the host compiler is not ours to warn of.
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Werror;-Wno-missing-field-initializers>")
if(SYNTHESIZER_SANITIZE)
  # A report ends the program: what only prints would pass.
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${SYNTHESIZER_SANITIZE};-fno-sanitize-recover=all;-fno-omit-frame-pointer>")
  add_link_options(-fsanitize=${SYNTHESIZER_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-Wno-maybe-uninitialized>")  # what the sanitizers add misleads it, in the standard library too
  else()
    add_compile_options(-Wno-pass-failed)  # and keeps clang from vectorising
  endif()
endif()
if(SYNTHESIZER_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Libraries that a program loads do not see what its archives define (protobuf: cmake/Dependencies.cmake).
# clang's sanitizers are archives too, whose malloc the libraries must see.
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND SYNTHESIZER_SANITIZE)
  add_link_options(-Wl,--exclude-libs,libprotobuf.a)
else()
  add_link_options(-Wl,--exclude-libs,ALL)
endif()
add_link_options(-Wl,--gc-sections)
find_program(SYNTHESIZER_MOLD mold)
if(SYNTHESIZER_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(SYNTHESIZER_CCACHE ccache)
if(SYNTHESIZER_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SYNTHESIZER_CCACHE})
endif()

# What a target is made of: every .cc of its folder but EXCEPT, and ALSO what is elsewhere or generated; or ONLY these.
macro(synthesizer_sources)
  cmake_parse_arguments(ARG "RUNS_PROGRAM" "FILTER;SHARDS" "EXCEPT;ALSO;ONLY;LINKS;RANKS" ${ARGN})
  if(ARG_ONLY)
    set(ARG_SOURCES ${ARG_ONLY})
  else()
    file(GLOB ARG_SOURCES CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.cc)
    if(ARG_EXCEPT)
      list(REMOVE_ITEM ARG_SOURCES ${ARG_EXCEPT})
    endif()
    list(APPEND ARG_SOURCES ${ARG_ALSO})
  endif()
endmacro()

# synthesizer_library(NAME [sources as above] LINKS target…): the one target of a folder.
function(synthesizer_library name)
  synthesizer_sources(${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${ARG_LINKS})
endfunction()

# synthesizer_cold(TARGET…): code that waits for the user, the disk or the device, or runs once, is to be small: two thirds
# of the size that speed would make of it.
function(synthesizer_cold)
  foreach(target ${ARGN})
    target_compile_options(${target} PRIVATE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-Os>)
  endforeach()
endfunction()

# synthesizer_test(NAME [RUNS_PROGRAM] [SHARDS n] [FILTER tests] [sources as above] LINKS target…): one GoogleTest program a
# folder, each of its tests a ctest test. RUNS_PROGRAM: they start the program as users do, SYNTHESIZER_PROGRAM. SHARDS: n
# ctest tests instead, of programs with many short tests that take long to start; FILTER (of GoogleTest): not all of them.
function(synthesizer_test name)
  synthesizer_sources(${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} GTest::gmock_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  # Tests run beside each other: threads that spin while they wait would take the cores from those that work.
  set(properties TIMEOUT 900 LABELS ${name} ENVIRONMENT OMP_WAIT_POLICY=passive)
  if(ARG_RUNS_PROGRAM)
    add_dependencies(${name} synthesizer)
    target_compile_definitions(${name} PRIVATE SYNTHESIZER_PROGRAM="$<TARGET_FILE:synthesizer>"
                                               SYNTHESIZER_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    # Open MPI does not give everything back at its end.
    list(APPEND properties ENVIRONMENT_MODIFICATION ASAN_OPTIONS=set:detect_leaks=0)
  elseif(SYNTHESIZER_SANITIZE MATCHES thread)
    # The thread sanitizer does not see libgomp's barriers: with them, every parallel loop looks like a race.
    list(APPEND properties ENVIRONMENT_MODIFICATION OMP_NUM_THREADS=set:1)
  endif()
  if(NOT ARG_SHARDS)
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} PROPERTIES ${properties})
    return()
  endif()
  math(EXPR last "${ARG_SHARDS} - 1")
  foreach(shard RANGE ${last})
    add_test(NAME ${name}.${shard} COMMAND ${name} --gtest_brief=1 "--gtest_filter=${ARG_FILTER}"
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name}.${shard} PROPERTIES ${properties})
    set_property(TEST ${name}.${shard} APPEND PROPERTY ENVIRONMENT GTEST_TOTAL_SHARDS=${ARG_SHARDS} GTEST_SHARD_INDEX=${shard})
  endforeach()
endfunction()

# synthesizer_mpi_test(NAME RANKS n… [sources as above] LINKS target…): one GoogleTest program that every rank runs whole,
# started by mpirun with each number of ranks: ctest tests NAME.n_ranks. It fails if any rank fails (tests/dist/mpi_main.h).
function(synthesizer_mpi_test name)
  synthesizer_sources(${ARGN})
  add_executable(${name} ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/dist/mpi_main.cc)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} dist GTest::gmock)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  # Sanitizers: Open MPI leaks at its end, and is not instrumented.
  set(environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
    "ASAN_OPTIONS=detect_leaks=0"
    "TSAN_OPTIONS=ignore_noninstrumented_modules=1:detect_deadlocks=0")
  foreach(ranks IN LISTS ARG_RANKS)
    add_test(NAME ${name}.${ranks}_ranks
      COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} --oversubscribe --bind-to none $<TARGET_FILE:${name}>
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name}.${ranks}_ranks PROPERTIES
      ENVIRONMENT "${environment}" PROCESSORS ${ranks} TIMEOUT 300)
  endforeach()
endfunction()
