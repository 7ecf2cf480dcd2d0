# CUDA, where there is a compiler for it (nvcc 12 or newer): SYNTHESIZER_HAS_CUDA, and for which GPUs its code is made.

option(SYNTHESIZER_CUDA "Build the kernels of NVIDIA GPUs, if nvcc is there" ON)
# One architecture is enough to see that everything compiles; a release has them all: launch/gpu-bundle.
set(SYNTHESIZER_CUDA_ARCHITECTURES "90-virtual" CACHE STRING "GPUs, as CMAKE_CUDA_ARCHITECTURES takes them")

set(SYNTHESIZER_HAS_CUDA OFF)
if(SYNTHESIZER_CUDA AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  find_program(SYNTHESIZER_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
  if(SYNTHESIZER_NVCC)
    set(CMAKE_CUDA_COMPILER ${SYNTHESIZER_NVCC})
    set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
    set(CMAKE_CUDA_ARCHITECTURES ${SYNTHESIZER_CUDA_ARCHITECTURES})
    # fmt 9 takes nvcc for a compiler without constexpr; functions that are constexpr are called on the GPU too.
    set(CMAKE_CUDA_FLAGS "${CMAKE_CUDA_FLAGS} --expt-relaxed-constexpr -DFMT_USE_CONSTEXPR=1 -Xfatbin=-compress-all")
    set(CMAKE_CUDA_FLAGS_RELEASE "-O3")
    set(CMAKE_CUDA_FLAGS_DEBUG "-O1 -lineinfo")
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # which CMake 3.25 does not know of nvcc 13
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit REQUIRED)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12)
      message(STATUS "nvcc ${CMAKE_CUDA_COMPILER_VERSION} is too old for the GPU kernels: expected 12 or newer")
    else()
      set(SYNTHESIZER_HAS_CUDA ON)
      if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)  # two thirds of the size
        add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--compress-mode=size>")
      endif()
      if(SYNTHESIZER_CCACHE)
        set(CMAKE_CUDA_COMPILER_LAUNCHER ${SYNTHESIZER_CCACHE})
      endif()
    endif()
  endif()
endif()
if(SYNTHESIZER_GPU_TESTS AND NOT SYNTHESIZER_HAS_CUDA)
  message(FATAL_ERROR "SYNTHESIZER_GPU_TESTS: no nvcc 12 or newer was found: looked on PATH, in CUDA_HOME and /usr/local/cuda")
endif()
